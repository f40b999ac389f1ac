import type {
  CallOptions,
  ConnectivityGate,
  EtcdClient,
  GateState,
  KeyRange,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchHandle,
  WatchObserver,
} from '../../src/etcd/etcd-client.js';
import { ProbingGate } from '../../src/etcd/connectivity-gate.js';
import { EtcdRequestError, isEtcdFailure } from '../../src/etcd/etcd-status.js';
import { WatchMultiplexer } from '../../src/etcd/watch-multiplexer.js';
import type { OpenedWatchStream, WatchStreamListener } from '../../src/etcd/watch-transport.js';
import { EtcdDiscoveryError } from '../../src/etcd-discovery.errors.js';
import type { Clock, Random } from '../../src/utils/clock.js';
import type { Log } from '../../src/utils/log.js';
import type { Fate, RequestKind } from './faults.js';
import type { Link } from './link.js';
import type { ModelServer } from './model-server.js';
import { ModelStream } from './model-stream.js';
import type { Write } from './stage.js';

/** Deadlines of the client over a network: of a call, of a dial in an outage, and of every third dial, ms. */
const CALL_MS = 2_000;
const DIAL_MS = 5_000;
const PATIENT_DIAL = 3;
/** How long after its deadline a late request may still arrive, ms. */
const LATE_MS = 1_500;

export interface ModelClientDeps {
  readonly owner: string;
  readonly server: ModelServer;
  readonly link: Link;
  /** For whatever the client itself waits for. */
  readonly clock: Clock;
  /** The time of the process, for what is on its way to it. */
  readonly transit: Clock;
  readonly random: Random;
  readonly log: Log;
  /** A transaction or a revoke of this process is about to be executed. */
  readonly writing?: (write: Write) => void;
}

/** The port over the model's etcd; the gate and the watch streams are the real ones. */
export class ModelClient implements EtcdClient {
  readonly endpoint = 'model:2379';
  readonly gate: ConnectivityGate;
  /** Subscriptions and waiters at the gate, other than the client's own. */
  gateListeners = 0;
  /** Watches that have neither been closed nor ended. */
  openWatches = 0;
  /** Fates of the next requests of a kind, first come first served. */
  readonly fates = new Map<RequestKind, Fate[]>();
  /** Told of every request. */
  onRequest: (kind: RequestKind, lists?: string) => void = () => {};
  /** Lists for watches that are under way, by what they list. */
  readonly listing = new Map<string, number>();
  readonly streams = new Set<ModelStream>();
  private readonly probing: ProbingGate;
  private readonly multiplexer: WatchMultiplexer;
  private readonly inFlight = new Set<(error: EtcdRequestError) => void>();
  /** Those that will never be answered. */
  private readonly doomed = new Set<(error: EtcdRequestError) => void>();
  private dials = 0;
  private closed = false;

  constructor(private readonly deps: ModelClientDeps) {
    const { clock, random, log } = deps;
    this.probing = new ProbingGate({ clock, random, log, probe: () => this.probe() });
    this.gate = this.countingGate(this.probing);
    this.multiplexer = new WatchMultiplexer({ clock, log, open: (listener) => this.openStream(listener) });
  }

  /** The connections of this client are gone. */
  connectionLost(text: string): void {
    const error = new EtcdRequestError('unreachable', text);
    for (const fail of this.inFlight) this.deps.transit.after(1, () => fail(error));
    for (const stream of this.streams) stream.break(text);
  }

  get hasDoomed(): boolean {
    return this.doomed.size > 0;
  }

  /** What would have waited for its deadline in vain fails now: its connection is reset. */
  resetDoomed(): void {
    for (const fail of this.doomed) fail(new EtcdRequestError('unreachable', 'read ECONNRESET'));
  }

  /** Shuts the gate as a failed request would. */
  trip(): void {
    this.probing.trip(new EtcdRequestError('unreachable', 'the connection was reset'));
  }

  range(request: RangeRequest, options: CallOptions & { via?: 'unary' | 'watch' } = {}): Promise<RangeResponse> {
    const { server } = this.deps;
    const subject = options.via === 'watch' ? (request.rangeEnd ?? request.key) : undefined;
    const count = (step: number) => {
      if (subject !== undefined) this.listing.set(subject, (this.listing.get(subject) ?? 0) + step);
    };
    count(1);
    this.onRequest('range', subject);
    return this.call(
      'range',
      options,
      () => {
        const page = server.range(request, request.revision ?? 0, request.limit ?? 0);
        const strip = request.keysOnly ?? false;
        return strip ? { ...page, kvs: page.kvs.map((kv) => ({ ...kv, value: Buffer.alloc(0) })) } : page;
      },
      () => count(-1),
    );
  }

  txn(request: TxnRequest, options: CallOptions = {}): Promise<TxnResponse> {
    const { server, writing } = this.deps;
    this.onRequest('txn');
    return this.call('txn', options, () => {
      writing?.({ txn: request });
      const { succeeded, responses } = server.store.txn(request);
      return { header: server.header(), succeeded, responses };
    });
  }

  grantLease(ttlSeconds: number, options: CallOptions = {}): Promise<{ id: string; ttl: number }> {
    const { server, owner } = this.deps;
    this.onRequest('grant');
    return this.call('grant', options, () => {
      const { id } = server.store.grant(ttlSeconds, owner);
      return { id, ttl: ttlSeconds };
    });
  }

  keepAliveLease(id: string, options: CallOptions = {}): Promise<{ ttl: number }> {
    this.onRequest('keepAlive');
    return this.call('keepAlive', options, () => ({ ttl: this.deps.server.store.renew(id) }));
  }

  revokeLease(id: string, options: CallOptions = {}): Promise<void> {
    const { server, writing } = this.deps;
    this.onRequest('revoke');
    return this.call('revoke', options, () => {
      writing?.({ revoke: id });
      if (!server.store.revoke(id)) throw new EtcdRequestError('lease-not-found', 'requested lease not found');
    });
  }

  watch(request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle {
    this.openWatches += 1;
    let over = false;
    const end = () => {
      if (!over) this.openWatches -= 1;
      over = true;
    };
    const handle = this.multiplexer.watch(request, {
      created: (header) => observer.created?.(header),
      events: (events, header) => observer.events(events, header),
      progress: (header) => observer.progress?.(header),
      end: (why) => {
        end();
        observer.end(why);
      },
    });
    return {
      close: () => {
        end();
        handle.close();
      },
    };
  }

  localAddress(): Promise<string | undefined> {
    return Promise.resolve('127.0.0.1');
  }

  close(): Promise<void> {
    this.closed = true;
    this.probing.dispose();
    this.multiplexer.close();
    for (const fail of this.inFlight) fail(new EtcdRequestError('cancelled', 'the client was closed'));
    return Promise.resolve();
  }

  private probe(): Promise<unknown> {
    this.onRequest('probe');
    const timeoutMs = ++this.dials % PATIENT_DIAL === 0 ? DIAL_MS : CALL_MS;
    return this.call('probe', { timeoutMs }, () => undefined);
  }

  private async openStream(listener: WatchStreamListener): Promise<OpenedWatchStream> {
    await this.call('probe', { timeoutMs: DIAL_MS }, () => undefined, undefined, true);
    const { server, link, transit } = this.deps;
    const stream = new ModelStream(server, link, transit, listener, () => this.streams.delete(stream));
    this.streams.add(stream);
    return stream;
  }

  private call<T>(
    kind: RequestKind,
    { timeoutMs = CALL_MS, signal }: CallOptions,
    execute: () => T,
    settled: () => void = () => {},
    gated = kind !== 'probe',
  ): Promise<T> {
    const { server, link, clock, transit } = this.deps;
    return new Promise<T>((resolve, reject) => {
      const refusal = this.refusalBeforehand(gated, signal);
      if (refusal) {
        settled();
        return reject(refusal);
      }
      const fate = this.fates.get(kind)?.shift();
      let over = false;
      const end = (settle: () => void) => {
        if (over) return;
        over = true;
        cancelDeadline();
        this.inFlight.delete(fail);
        this.doomed.delete(fail);
        signal?.removeEventListener('abort', aborted);
        settled();
        settle();
      };
      const fail = (error: EtcdRequestError) =>
        end(() => {
          if (isEtcdFailure(error, 'unreachable', 'auth', 'tls')) this.probing.trip(error);
          reject(error);
        });
      const unreachable = (text: string) => fail(new EtcdRequestError('unreachable', text));
      const broken = (text: string) => void transit.after(0, () => unreachable(text));
      const aborted = () => end(() => reject(new EtcdRequestError('cancelled', 'cancelled')));
      const cancelDeadline = clock.after(timeoutMs, () => unreachable(`no answer within ${timeoutMs} ms`));
      this.inFlight.add(fail);
      if (fate === 'answer-lost' || fate === 'lost' || fate === 'late') this.doomed.add(fail);
      signal?.addEventListener('abort', aborted, { once: true });

      const answer = (deliver: () => void) => {
        if (fate === 'answer-lost' || fate === 'late') return;
        transit.after(link.travelMs(), () => {
          if (fate === 'reset') unreachable('read ECONNRESET');
          else if (!over) link.pass(deliver, broken);
        });
      };
      const run = () => {
        try {
          server.assertAllowed(kind);
          const value = execute();
          answer(() => end(() => resolve(value)));
        } catch (error) {
          answer(() => fail(error as EtcdRequestError));
        }
      };
      if (fate === 'lost') return;
      const travelMs = fate === 'late' ? timeoutMs + LATE_MS * this.deps.random() : link.travelMs();
      server.clock.after(travelMs, () => link.pass(() => server.receive({ run, broken }), broken));
    });
  }

  private refusalBeforehand(gated: boolean, signal: AbortSignal | undefined): Error | undefined {
    if (this.closed) return new EtcdDiscoveryError('CLOSED', 'the client was closed');
    if (signal?.aborted) return new EtcdRequestError('cancelled', 'cancelled');
    const { open, error } = this.probing.state;
    if (!gated || open) return undefined;
    return error instanceof EtcdRequestError ? error : new EtcdRequestError('unreachable', 'not tried: etcd is away');
  }

  private countingGate(gate: ProbingGate): ConnectivityGate {
    const count = (step: number) => (this.gateListeners += step);
    return {
      get state(): GateState {
        return gate.state;
      },
      whenOpen: (signal) => {
        count(1);
        return gate.whenOpen(signal).finally(() => count(-1));
      },
      onChange: (listener) => {
        const off = gate.onChange(listener);
        count(1);
        let over = false;
        return () => {
          if (!over) count(-1);
          over = true;
          off();
        };
      },
    };
  }
}
