import type { ILeaseKeepAliveResponse, IDuplexStream, ILeaseKeepAliveRequest } from 'etcd3';
import type { ResolvedEtcdOptions } from '../options/resolved-options.js';
import { type Clock, type Random, systemClock } from '../utils/clock.js';
import { type Log, silentLog } from '../utils/log.js';
import { ProbingGate } from './connectivity-gate.js';
import type {
  CallOptions,
  ConnectivityGate,
  EtcdClient,
  KeyRange,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchHandle,
  WatchObserver,
} from './etcd-client.js';
import { EtcdRequestError, isEtcdFailure } from './etcd-status.js';
import { decodeRange, decodeTxn, encodeCompare, encodeOp, encodeRangeEnd } from './etcd3-codec.js';
import { Etcd3Connection } from './etcd3-connection.js';
import { EtcdRole, type RoleRequest, closedError } from './etcd3-role.js';
import { openWatchStream } from './etcd3-watch.js';
import { encodeKey } from './key-codec.js';
import { localAddressTowards } from './local-address.js';
import { WatchMultiplexer } from './watch-multiplexer.js';

/** Deadline of a call that names none: ten times the slowest answer of a healthy etcd, a fifth of the default TTL. */
export const DEFAULT_TIMEOUT_MS = 2_000;

/** No endpoint gets less than this to connect, however many there are: TCP, TLS and HTTP/2 need several round trips. */
const MIN_DIAL_MS = 1_000;

/**
 * During an outage most attempts get no more than this: a packet that was lost while the network was down is sent again
 * only after 1, 3 and 7 s, so a new attempt finds an etcd that is back sooner than an old one. Every third has the full
 * time, for links on which connecting takes that long.
 */
const HASTY_DIAL_MS = 2_000;
const PATIENT_REDIAL = 3;

export interface EtcdClientDeps {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

/**
 * The port over the npm package `etcd3`, of which only connections' stubs and message types are used; its leases,
 * watcher, log-in, retries and circuit breakers are not, because each of them loses events, multiplies timers or
 * outlives `close()` under ordinary faults.
 *
 * Connects with the first call. Which calls are repeated at the next endpoint within one call when etcd cannot be
 * reached: `range`, `keepAliveLease` and `revokeLease` always; `txn` and `grantLease` only when the request provably
 * never left this process, for a transaction must not run twice, and a lease granted twice lives a TTL for nothing.
 * While the gate is closed every call fails at once with the reason it is closed for.
 */
export const createEtcdClient = (options: ResolvedEtcdOptions, deps: EtcdClientDeps = {}): EtcdClient =>
  new Etcd3Client(options, { clock: systemClock, random: Math.random, log: silentLog, ...deps });

class Etcd3Client implements EtcdClient {
  private readonly connectivity: ProbingGate;
  private readonly unary: EtcdRole;
  private readonly watching: EtcdRole;
  private readonly leasing: EtcdRole;
  private readonly watches: WatchMultiplexer;
  private readonly inFlight = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();
  private closed: Promise<void> | undefined;

  constructor(
    private readonly options: ResolvedEtcdOptions,
    { clock, random, log }: Required<EtcdClientDeps>,
  ) {
    const { endpoints, dialTimeoutMs } = options;
    if (endpoints.length === 0)
      throw new EtcdRequestError('refused', 'etcd.endpoints is empty: give at least one host:port');
    const gate = new ProbingGate({ clock, random, log, probe: () => this.probe() });
    const perEndpoint = Math.min(dialTimeoutMs, Math.max(MIN_DIAL_MS, dialTimeoutMs / endpoints.length));
    let redials = 0;
    const connect = (endpoint: string) => {
      const hasty = !gate.state.open && ++redials % PATIENT_REDIAL !== 0;
      const dialMs = hasty ? Math.min(perEndpoint, HASTY_DIAL_MS) : perEndpoint;
      return new Etcd3Connection({ endpoint, dialTimeoutMs: dialMs, etcd: options, clock });
    };
    // A random first endpoint spreads the clients of a fleet over the members.
    const first = Math.floor(random() * endpoints.length);
    // An endpoint that swallows everything costs the first role a dial's time, and only that one.
    const answeredAt = new Map<string, number>();
    const reached = (endpoint: string) => {
      answeredAt.set(endpoint, clock.now());
      for (const each of [this.unary, this.watching, this.leasing]) each.rotation.startAt(endpoint);
    };
    const answeredLately = (endpoint: string) => clock.now() - (answeredAt.get(endpoint) ?? -Infinity) < dialTimeoutMs;
    const role = () => new EtcdRole({ endpoints, first, connect, gate, clock, reached, answeredLately });
    this.connectivity = gate;
    this.unary = role();
    this.watching = role();
    this.leasing = role();
    this.watches = new WatchMultiplexer({ clock, log, open: openWatchStream(this.watching, dialTimeoutMs) });
    let wasOpen = true;
    gate.onChange(({ open, error }) => {
      if (open) for (const each of [this.unary, this.watching, this.leasing]) each.rotation.restart(this.endpoint);
      // What closed the gate may have closed every way at once without a word, as a middlebox does that forgets its
      // connections: a probe on an old one would wait in vain, longer than a lease lives.
      if (wasOpen && !open && isEtcdFailure(error, 'unreachable')) this.unary.rotation.redial();
      if (!wasOpen && open) this.watches.prove();
      wasOpen = open;
    });
  }

  get gate(): ConnectivityGate {
    return this.connectivity;
  }

  get endpoint(): string {
    return this.unary.rotation.endpoint;
  }

  range(request: RangeRequest, options: CallOptions & { via?: 'unary' | 'watch' } = {}): Promise<RangeResponse> {
    const role = options.via === 'watch' ? this.watching : this.unary;
    const message = {
      key: encodeKey(request.key),
      ...encodeRangeEnd(request.rangeEnd),
      limit: request.limit ?? 0,
      revision: request.revision ?? 0,
      keys_only: request.keysOnly ?? false,
    };
    return this.track(
      role
        .request((driver, call) => driver.kv.range(message, call), settings('range', 'always', options))
        .then(decodeRange),
    );
  }

  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    const message = {
      compare: request.compare.map(encodeCompare),
      success: request.success.map(encodeOp),
      failure: (request.failure ?? []).map(encodeOp),
    };
    return this.track(
      this.unary
        .request((driver, call) => driver.kv.txn(message, call), settings('txn', 'unsent', options))
        .then(decodeTxn),
    );
  }

  grantLease(ttlSeconds: number, options?: CallOptions): Promise<{ id: string; ttl: number }> {
    const message = { TTL: ttlSeconds };
    return this.track(
      this.leasing
        .request(
          (driver, call) => driver.leaseClient.leaseGrant(message, call),
          settings('lease grant', 'unsent', options),
        )
        .then(({ ID, TTL }) => ({ id: ID, ttl: Number(TTL) })),
    );
  }

  keepAliveLease(id: string, options?: CallOptions): Promise<{ ttl: number }> {
    return this.track(
      this.leasing.request(
        async (driver, call) => renewOnce(await driver.leaseClient.leaseKeepAlive(call), id),
        settings('lease renewal', 'always', options),
      ),
    );
  }

  revokeLease(id: string, options?: CallOptions): Promise<void> {
    let attempts = 0;
    return this.track(
      this.leasing
        .request(
          (driver, call) => {
            attempts++;
            return driver.leaseClient.leaseRevoke({ ID: id }, call);
          },
          settings('lease revoke', 'always', options),
        )
        .then(
          () => undefined,
          (error: unknown) => {
            // A repetition finds the lease gone: the first attempt, whose answer was lost, has done it.
            if (attempts > 1 && isEtcdFailure(error, 'lease-not-found')) return;
            throw error;
          },
        ),
    );
  }

  watch(request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle {
    return this.watches.watch(request, observer);
  }

  /** Also undefined while the gate is closed: then nothing dials but the gate. */
  localAddress(options: CallOptions = {}): Promise<string | undefined> {
    if (this.closed) return Promise.reject(closedError());
    if (!this.connectivity.state.open) return Promise.resolve(undefined);
    const { endpoints } = this.options;
    const first = endpoints.indexOf(this.endpoint);
    const { signal } = this.closing;
    return this.track(
      localAddressTowards([...endpoints.slice(first), ...endpoints.slice(0, first)], {
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal,
      }),
    );
  }

  close(): Promise<void> {
    this.closed ??= this.release();
    return this.closed;
  }

  private async release(): Promise<void> {
    this.connectivity.dispose();
    this.watches.close();
    this.closing.abort();
    for (const role of [this.unary, this.watching, this.leasing]) role.close();
    await Promise.allSettled(this.inFlight);
  }

  /** One key that nobody has, read through the quorum: the cheapest request that only a working etcd answers. */
  private probe(): Promise<unknown> {
    const message = { key: Buffer.from([0]), keys_only: true };
    return this.track(
      this.unary.request((driver, call) => driver.kv.range(message, call), {
        operation: 'probe',
        timeoutMs: this.options.dialTimeoutMs + DEFAULT_TIMEOUT_MS,
        retry: 'never',
        ungated: true,
      }),
    );
  }

  private track<T>(work: Promise<T>): Promise<T> {
    const settled = () => void this.inFlight.delete(work);
    this.inFlight.add(work);
    work.then(settled, settled);
    return work;
  }
}

const settings = (operation: string, retry: RoleRequest['retry'], options: CallOptions = {}): RoleRequest => ({
  operation,
  retry,
  timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  signal: options.signal,
});

/** One beat on a stream of its own: the driver's shared renewal stream cannot be bounded per beat. */
const renewOnce = (
  stream: IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>,
  id: string,
): Promise<{ ttl: number }> =>
  new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('end', () => reject(new Error('the server ended the stream without an answer')));
    stream.on('data', ({ TTL }) => {
      resolve({ ttl: Number(TTL) });
      stream.end();
    });
    stream.write({ ID: id });
  });
