import { type ChannelOptions, connectivityState, experimental, logVerbosity } from '@grpc/grpc-js';
import type {
  BalancerDirectory,
  BalancerView,
  ConnectionState,
  LiveBalancer,
} from '../../balancing/balancer-directory.js';
import { createPicker } from '../../balancing/picker-registry.js';
import type { Picker, PolicyConfig } from '../../balancing/picker.interface.js';
import type { Clock } from '../../utils/clock.js';
import {
  BALANCER_ATTRIBUTES,
  type BalancerAttributes,
  type DiscoveryEndpoint,
  LB_POLICY_NAME,
} from '../resolver/discovery-endpoint.js';
import { BalancedChild } from './balanced-child.js';
import { DiscoveryPicker, NothingToCallPicker } from './discovery-picker.js';
import { GradualStart } from './gradual-start.js';
import { LoadBalancerConfig, sameConfig } from './load-balancer-config.js';
import { subchannelOptions } from './subchannel-options.js';

/**
 * With nothing ready yet, how long the first ready instance waits for the others, which are connecting too. Without it
 * the calls of a start would all go to whoever was a millisecond faster. Only an instance that neither accepts nor
 * refuses makes a client wait this long, and only its first calls.
 */
const SETTLE_MS = 200;

/** Above this many instances a picker per connection that opens would cost more than the calls. */
const LARGE = 100;
const BATCH_MS = 10;
const BATCH_AT_START_MS = 100;

export interface LoadBalancerDeps {
  readonly balancers: BalancerDirectory;
  readonly clock: Clock;
}

/**
 * The load-balancing policy `etcd_discovery`: one connection per address, all of them kept open, and a picker that
 * chooses among those that are ready. A change of the list touches the addresses that changed and nothing else; a change
 * of policy, weights, zones or metadata touches no connection at all.
 */
export class EtcdLoadBalancer implements experimental.LoadBalancer, LiveBalancer {
  connection = 'default';
  service = '';

  private readonly children = new Map<string, BalancedChild>();
  /** Those of the last list that are not children yet. */
  private readonly newcomers: GradualStart<DiscoveryEndpoint>;
  private subchannelOptions: ChannelOptions = {};
  private configured: PolicyConfig = { policy: 'least_request' };
  private active: { readonly policy: PolicyConfig; readonly picker: Picker } | undefined;
  private policyError: string | undefined;
  private reportedPolicy: PolicyConfig | undefined;
  private state = connectivityState.IDLE;
  /** Why there are no children, when there are none. */
  private emptyReason = 'no instance is known yet';
  private generation = 0;
  private publishScheduled = false;
  private updating = false;
  private destroyed = false;
  private failure: string | null = null;
  private waitIsOver = false;
  private cancelWait: (() => void) | undefined;
  private cancelBatch: (() => void) | undefined;
  private leaveDirectory: (() => void) | undefined;

  constructor(
    private readonly helper: experimental.ChannelControlHelper,
    private readonly deps: LoadBalancerDeps,
  ) {
    this.newcomers = new GradualStart(deps.clock, (endpoints) => this.add(endpoints));
  }

  updateAddressList(
    list: experimental.StatusOr<experimental.Endpoint[]>,
    config: experimental.TypedLoadBalancingConfig,
    channelOptions: ChannelOptions,
    resolutionNote: string,
  ): boolean {
    if (!(config instanceof LoadBalancerConfig)) return false;
    const attributes = channelOptions[BALANCER_ATTRIBUTES] as BalancerAttributes | undefined;
    this.enterDirectory(attributes);
    this.configured = config.policy;
    if (list.ok) {
      this.emptyReason = resolutionNote || 'no instance is registered';
      this.reconcile(list.value as DiscoveryEndpoint[], subchannelOptions(channelOptions, attributes));
    } else if (this.children.size === 0) {
      this.emptyReason = list.error.details;
    }
    this.publish();
    return true;
  }

  /** Called before every call. Our children reconnect by themselves, so there is nothing to do. */
  exitIdle(): void {}

  resetBackoff(): void {
    for (const child of this.children.values()) child.retryNow();
  }

  destroy(): void {
    this.destroyed = true;
    this.newcomers.stop();
    this.cancelWait?.();
    this.cancelBatch?.();
    this.leaveDirectory?.();
    for (const child of this.children.values()) child.destroy();
    this.children.clear();
  }

  getTypeName(): string {
    return LB_POLICY_NAME;
  }

  view(): BalancerView {
    const states: Partial<Record<connectivityState, ConnectionState>> = {
      [connectivityState.READY]: 'ready',
      [connectivityState.CONNECTING]: 'connecting',
      [connectivityState.TRANSIENT_FAILURE]: 'failed',
    };
    return {
      policy: this.policy,
      state: states[this.state] ?? 'idle',
      instances: [...this.children.values()].map((child) => child.view()),
    };
  }

  stateOf(address: string): ConnectionState | undefined {
    return this.children.get(address)?.connectionState;
  }

  onPolicyChange(): void {
    this.publish();
  }

  private get policy(): PolicyConfig {
    return this.deps.balancers.policyOf(this.connection, this.service) ?? this.configured;
  }

  private enterDirectory(attributes: BalancerAttributes | undefined): void {
    if (!attributes || this.leaveDirectory) return;
    this.connection = attributes.connection;
    this.service = attributes.service;
    this.leaveDirectory = this.deps.balancers.add(this);
  }

  private reconcile(endpoints: readonly DiscoveryEndpoint[], options: ChannelOptions): void {
    // Children report while they are made and unmade; one picture at the end is enough.
    this.updating = true;
    const generation = ++this.generation;
    const newcomers: DiscoveryEndpoint[] = [];
    for (const endpoint of endpoints) {
      const known = this.children.get(endpoint.address);
      if (known) known.update(endpoint, generation);
      else newcomers.push(endpoint);
    }
    this.subchannelOptions = options;
    this.newcomers.start(newcomers);
    for (const child of this.children.values()) {
      if (child.generation === generation) continue;
      this.children.delete(child.address);
      child.destroy();
    }
    this.updating = false;
  }

  private add(endpoints: readonly DiscoveryEndpoint[]): void {
    const { updating } = this;
    this.updating = true;
    for (const endpoint of endpoints) {
      const { address } = endpoint;
      const { helper, subchannelOptions: options, deps, generation } = this;
      const child = new BalancedChild(endpoint, generation, helper, options, deps.clock, () =>
        this.onChildChange(address),
      );
      this.children.set(address, child);
      child.connect();
    }
    this.updating = updating;
    if (!updating) this.publishSoon();
  }

  /** While the connections of a large service begin, each picker is soon out of date. */
  private publishSoon(): void {
    const ms = this.newcomers.isUnderWay ? BATCH_AT_START_MS : BATCH_MS;
    this.cancelBatch ??= this.deps.clock.after(ms, () => this.publish());
  }

  /**
   * Many children change in one turn when a service starts or goes; the channel gets one picker for all of them. With a
   * large service it gets one per batch: until then, picks find their way around a connection that is lost.
   */
  private onChildChange(address: string): void {
    if (this.leaveDirectory) this.deps.balancers.connectionChanged(this.service, address);
    if (this.updating || this.publishScheduled) return;
    if (this.children.size > LARGE) {
      this.publishSoon();
      return;
    }
    this.publishScheduled = true;
    process.nextTick(() => {
      this.publishScheduled = false;
      this.publish();
    });
  }

  private publish(): void {
    this.cancelBatch?.();
    this.cancelBatch = undefined;
    if (this.destroyed) return;
    const all = [...this.children.values()];
    if (all.length === 0) return this.fail(this.emptyReason);
    const ready = all.filter((child) => child.state === connectivityState.READY);
    const unsettled = this.newcomers.isUnderWay || all.some((child) => !child.settled);
    if (ready.length > 0 && (this.isServing || !unsettled || this.waitIsOver)) return this.serve(ready, all);
    if (ready.length > 0) this.startWait();
    if (unsettled) return this.wait();
    const { error } = all.find((child) => child.error) ?? {};
    this.fail(
      `none of the ${all.length} instances of service "${this.service}" can be reached: ${error ?? 'no reason given'}`,
    );
  }

  private get isServing(): boolean {
    return this.state === connectivityState.READY;
  }

  private startWait(): void {
    this.cancelWait ??= this.deps.clock.after(SETTLE_MS, () => {
      this.waitIsOver = true;
      this.publish();
    });
  }

  private serve(ready: readonly BalancedChild[], all: readonly BalancedChild[]): void {
    const picker = this.picker();
    if (!picker) return this.fail(this.policyError!);
    try {
      picker.update(ready, all);
    } catch (error) {
      // A picker of the user's; calls go on without it.
      this.reportPickerError(error);
    }
    this.cancelWait?.();
    this.cancelWait = undefined;
    this.waitIsOver = false;
    this.setState(
      connectivityState.READY,
      new DiscoveryPicker(picker, ready, (error) => this.reportPickerError(error)),
      null,
    );
  }

  /** The picker of the policy in force; a new one only when the policy is another. */
  private picker(): Picker | undefined {
    const { policy } = this;
    if (this.active && sameConfig(this.active.policy, policy)) return this.active.picker;
    try {
      this.active = { policy, picker: createPicker(policy) };
      return this.active.picker;
    } catch (error) {
      this.active = undefined;
      this.policyError = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  }

  /** Once per policy: it may happen on every call. */
  private reportPickerError(error: unknown): void {
    if (this.reportedPolicy === this.active?.policy) return;
    this.reportedPolicy = this.active?.policy;
    const reason = error instanceof Error ? error.message : String(error);
    experimental.log(
      logVerbosity.ERROR,
      `the load-balancing policy "${this.policy.policy}" of service "${this.service}" failed: ${reason}. ` +
        'Calls go to any instance that is ready',
    );
  }

  private wait(): void {
    if (this.state === connectivityState.CONNECTING) return;
    this.setState(connectivityState.CONNECTING, new experimental.QueuePicker(this), null);
  }

  private fail(details: string): void {
    if (this.failure === details) return;
    this.setState(connectivityState.TRANSIENT_FAILURE, new NothingToCallPicker(details), details);
  }

  private setState(state: connectivityState, picker: experimental.Picker, failure: string | null): void {
    this.state = state;
    this.failure = failure;
    this.helper.updateState(state, picker, failure);
  }
}
