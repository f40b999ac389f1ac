import { type ChannelOptions, connectivityState, experimental, status } from '@grpc/grpc-js';
import type { BalancedInstance, ConnectionState } from '../../balancing/balancer-directory.js';
import { type CallInFlight, CallLoad } from '../../balancing/call-load.js';
import type { PickCandidate } from '../../balancing/picker.interface.js';
import type { ServiceInstance } from '../../instance/service-instance.js';
import { Backoff } from '../../utils/backoff.js';
import type { Clock } from '../../utils/clock.js';
import type { DiscoveryEndpoint } from '../resolver/discovery-endpoint.js';

/** A connection that ended sooner than this did not serve; always reconnecting at once would be a busy loop. */
const STABLE_AFTER_MS = 1_000;

const STATE_NAMES: Record<connectivityState, ConnectionState> = {
  [connectivityState.IDLE]: 'idle',
  [connectivityState.CONNECTING]: 'connecting',
  [connectivityState.READY]: 'ready',
  [connectivityState.TRANSIENT_FAILURE]: 'failed',
  [connectivityState.SHUTDOWN]: 'idle',
};

/** Answers that say how fast an instance works; a refused or cancelled call only says how fast it fails. */
const TELLS_LATENCY = new Set<number>([
  status.OK,
  status.DEADLINE_EXCEEDED,
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
]);

/**
 * One address with its connection and what this client knows of it. The instance behind the address may change without a
 * new connection: weight, zone and metadata take effect at the next pick, and a restarted process is connected to at
 * once rather than after the backoff its predecessor left behind.
 */
export class BalancedChild implements PickCandidate {
  readonly load: CallLoad;
  private readonly leaf: experimental.LeafLoadBalancer;
  private readonly flapBackoff = new Backoff({ initialMs: 100, maxMs: 5_000 });
  private subchannel: experimental.SubchannelInterface | undefined;
  private stateChangedAt: number;
  private since = new Date();
  private lastState = connectivityState.IDLE;
  private lastError: string | undefined;
  private cancelReconnect: (() => void) | undefined;
  /** The last connection ended too soon. */
  private flapped = false;
  private destroyed = false;

  constructor(
    private endpoint: DiscoveryEndpoint,
    /** Of the list that named it last. */
    public generation: number,
    helper: experimental.ChannelControlHelper,
    options: ChannelOptions,
    private readonly clock: Clock,
    private readonly onStateChange: () => void,
  ) {
    this.load = new CallLoad(clock);
    this.stateChangedAt = clock.now();
    const childHelper = experimental.createChildChannelControlHelper(helper, {
      createSubchannel: (address, args) => (this.subchannel = helper.createSubchannel(address, args)),
      updateState: (state, _picker, error) => this.onLeafState(state, error),
      // The catalog is always current; asking for more would only start the endless loop round_robin is known for.
      requestReresolution: () => {},
    });
    this.leaf = new experimental.LeafLoadBalancer(endpoint, childHelper, options, '');
  }

  get address(): string {
    return this.endpoint.address;
  }

  get id(): string {
    return this.endpoint.instance.id;
  }

  get instance(): ServiceInstance {
    return this.endpoint.instance;
  }

  get weight(): number {
    // Pickers divide by it.
    return Math.max(1, this.endpoint.instance.weight);
  }

  get zone(): string | undefined {
    return this.endpoint.instance.zone;
  }

  get inFlight(): number {
    return this.load.recentInFlight;
  }

  get ewmaMs(): number {
    return this.load.ewmaMs;
  }

  get state(): connectivityState {
    return this.leaf.getConnectivityState();
  }

  /** A first attempt has come to an end, well or not. */
  get settled(): boolean {
    return this.state === connectivityState.READY || this.failed;
  }

  get failed(): boolean {
    return this.state === connectivityState.TRANSIENT_FAILURE || this.cancelReconnect !== undefined;
  }

  get connectionState(): ConnectionState {
    return this.cancelReconnect ? 'failed' : STATE_NAMES[this.state];
  }

  get error(): string | undefined {
    return this.lastError;
  }

  connect(): void {
    this.leaf.startConnecting();
  }

  /** The same address in a new list. */
  update(endpoint: DiscoveryEndpoint, generation: number): void {
    this.generation = generation;
    const previous = this.endpoint.instance;
    this.endpoint = endpoint;
    const { instance } = endpoint;
    if (instance.id !== previous.id) this.load.forgetLatency();
    // Somebody wrote this instance anew: whatever was wrong with the address may be over.
    if (instance.modRevision !== previous.modRevision || instance.id !== previous.id) this.retryNow();
  }

  /** A connection attempt without delay, where one is waiting. */
  retryNow(): void {
    if (this.cancelReconnect) {
      this.cancelReconnect();
      this.cancelReconnect = undefined;
      this.leaf.exitIdle();
    }
    if (this.state !== connectivityState.READY) this.subchannel?.getRealSubchannel().resetBackoff();
  }

  /** Picks the connection for one call and counts the call; undefined when it is not usable after all. */
  pick(args: experimental.PickArgs): experimental.PickResult | undefined {
    const result = this.leaf.getPicker().pick(args);
    if (result.pickResultType !== experimental.PickResultType.COMPLETE) return undefined;
    const { load } = this;
    let call: CallInFlight | undefined;
    load.picks++;
    return {
      pickResultType: result.pickResultType,
      subchannel: result.subchannel,
      status: result.status,
      onCallStarted: () => {
        call = load.start();
        result.onCallStarted?.();
      },
      onCallEnded: (code, details, metadata) => {
        if (call) load.end(call, TELLS_LATENCY.has(code));
        result.onCallEnded?.(code, details, metadata);
      },
    };
  }

  view(): BalancedInstance {
    return {
      instance: this.instance,
      address: this.address,
      state: this.connectionState,
      since: this.since,
      ...(this.lastError === undefined ? {} : { lastError: this.lastError }),
      inFlight: this.load.inFlight,
      picks: this.load.picks,
      ewmaMs: this.load.ewmaMs,
    };
  }

  /** Takes no further calls. Those in flight end as they would: grpc-js closes the connection when the last is done. */
  destroy(): void {
    this.destroyed = true;
    this.cancelReconnect?.();
    this.cancelReconnect = undefined;
    this.load.close();
    this.leaf.destroy();
  }

  private onLeafState(state: connectivityState, error: string | null): void {
    if (this.destroyed) return;
    const previous = this.lastState;
    const livedMs = this.clock.now() - this.stateChangedAt;
    if (state !== previous) {
      this.lastState = state;
      this.stateChangedAt = this.clock.now();
      this.since = new Date();
    }
    if (state === connectivityState.READY) this.lastError = undefined;
    else if (error) this.lastError = error;
    if (state === connectivityState.IDLE) {
      if (previous === connectivityState.READY) this.lastError = 'the connection was closed';
      this.reconnect(previous === connectivityState.READY ? livedMs : STABLE_AFTER_MS);
    }
    this.onStateChange();
  }

  /** Every child stays connected, as in round_robin: at once, unless two connections in a row did not last. */
  private reconnect(livedMs: number): void {
    const stable = livedMs >= STABLE_AFTER_MS;
    const mayBeChance = !this.flapped;
    this.flapped = !stable;
    if (stable) this.flapBackoff.reset();
    if (stable || mayBeChance) {
      this.leaf.exitIdle();
      return;
    }
    this.cancelReconnect = this.clock.after(this.flapBackoff.nextDelayMs(), () => {
      this.cancelReconnect = undefined;
      this.leaf.exitIdle();
    });
  }
}
