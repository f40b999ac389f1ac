import type {
  EtcdClient,
  EtcdHeader,
  EtcdKeyValue,
  KeyRange,
  RangeRequest,
  WatchEnd,
  WatchEvent,
  WatchHandle,
} from '../etcd/etcd-client.js';
import { EtcdRequestError, isEtcdFailure } from '../etcd/etcd-status.js';
import { listRange, type ListOptions } from '../etcd/key-range.js';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { sleep } from '../utils/abort.js';
import { Backoff } from '../utils/backoff.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import type { WatchHealth } from './service-catalog.js';

/** Clients that lost their connection together spread their lists over this much (promise P13). */
const SPREAD_MS = 1_500;
/** A list that a healthy etcd refuses is tried again after U(0, 100 ms), then up to U(0, 1.5 s). */
const BACKOFF = { initialMs: 100, maxMs: SPREAD_MS };
/** A watch that lived this long was a good one: the next failure is a new story. */
const STEADY_MS = 5_000;
/** The reconciling list: every 5 min ±20 % (promise P8). */
const RECONCILE_MS = 300_000;
const RECONCILE_JITTER = 0.2;

export interface ListWatchSink<T> {
  /** Called for every key of every page, in the turn of the event loop that brought the page. */
  read(kv: EtcdKeyValue): T;
  /** Everything there is at `header.revision`. */
  listed(items: readonly T[], header: EtcdHeader): void;
  /** What came after it; of each watched range every revision once and in order. */
  changed(events: readonly WatchEvent[], header: EtcdHeader): void;
  healthChanged(health: WatchHealth): void;
}

export interface ListWatchDeps {
  readonly etcd: EtcdClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How an attempt ended. `lost`: the connection, so that everybody else is about to come back too. */
interface AttemptEnd {
  readonly kind: 'lost' | 'refused' | 'reconcile' | 'closed';
  readonly error?: Error;
}

/**
 * Keeps a reader equal to some ranges of etcd: a list at one revision, then watches from the next one. Whatever ends a
 * watch, the answer is the same: wait for the gate, wait with jitter, list again. It never resumes by revision, because
 * after a restore or a wipe etcd accepts that and stays silent.
 */
export class ListWatch<T> {
  private readonly stopping = new AbortController();
  private readonly backoff: Backoff;
  /** Counts attempts, so that what an older one still delivers is recognised and dropped. */
  private generation = 0;
  private hasListed = false;
  private current: WatchHealth = { state: 'pending', since: new Date() };

  constructor(
    private readonly deps: ListWatchDeps,
    /** What is watched, for the log. */
    private readonly subject: string,
    private readonly ranges: readonly KeyRange[],
    private readonly sink: ListWatchSink<T>,
  ) {
    this.backoff = new Backoff(BACKOFF, deps.random);
  }

  get health(): WatchHealth {
    return this.current;
  }

  /** Begins; called once. */
  start(): void {
    void this.run();
  }

  /** Ends everything at once: no callback comes afterwards. Idempotent. */
  stop(): void {
    this.generation += 1;
    this.stopping.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let last: AttemptEnd | undefined;
    while (!signal.aborted) {
      await this.turn(last, signal);
      if (signal.aborted) return;
      last = await this.attempt(signal);
      if (signal.aborted) return;
      if (last.kind !== 'reconcile') this.failed(last.error);
      // The client under us was closed first; there is nothing left to wait for.
      if (last.kind === 'closed') return;
    }
  }

  /** Waits until it is time for the next attempt. */
  private async turn(last: AttemptEnd | undefined, signal: AbortSignal): Promise<void> {
    const { gate } = this.deps.etcd;
    for (;;) {
      if (!gate.state.open) {
        if (gate.state.error) this.failed(gate.state.error);
        await gate.whenOpen(signal);
        // Still shut: the client under us was closed, and says so when it is asked.
        if (!gate.state.open) return;
      }
      if (signal.aborted) return;
      const delayMs = this.delayMs(last);
      if (delayMs === 0) return;
      await sleep(this.deps.clock, delayMs, signal);
      if (signal.aborted || gate.state.open) return;
    }
  }

  private delayMs(last: AttemptEnd | undefined): number {
    if (last === undefined || last.kind === 'reconcile') return 0;
    // With a cache in hand nobody waits for us. Without one, calls do.
    if (last.kind === 'lost' && this.hasListed) return this.deps.random() * SPREAD_MS;
    return this.backoff.nextDelayMs();
  }

  private async attempt(signal: AbortSignal): Promise<AttemptEnd> {
    const generation = ++this.generation;
    try {
      const { items, header } = await this.list(signal);
      if (signal.aborted || generation !== this.generation) return { kind: 'closed' };
      this.hasListed = true;
      // Whoever waited for this list should not read that etcd has not answered; a stale one stays so until it is watched.
      if (this.current.state === 'pending') this.report({ state: 'live', since: new Date() });
      this.sink.listed(items, header);
      return await this.watch(header.revision + 1, generation, signal);
    } catch (error) {
      return endOf(error);
    }
  }

  /** Every page of every range, all at the revision of the first one. */
  private async list(signal: AbortSignal): Promise<{ items: T[]; header: EtcdHeader }> {
    const { etcd } = this.deps;
    const items: T[] = [];
    let header: EtcdHeader | undefined;
    const atOneRevision = {
      range: (request: RangeRequest, options?: ListOptions) =>
        etcd.range({ ...request, revision: request.revision || header?.revision }, options),
    };
    for (const range of this.ranges) {
      // Through the watch's own connection: its token and its member are the ones the watch will use.
      for await (const page of listRange(atOneRevision, range, { via: 'watch', signal })) {
        header ??= page.header;
        for (const kv of page.kvs) items.push(this.sink.read(kv));
      }
    }
    if (!header) throw new Error('nothing to list');
    return { items, header };
  }

  private watch(startRevision: number, generation: number, signal: AbortSignal): Promise<AttemptEnd> {
    const { clock, random, etcd } = this.deps;
    return new Promise((resolve) => {
      const handles: WatchHandle[] = [];
      const startedAt = clock.now();
      let waiting = this.ranges.length;
      let ended = false;
      const finish = (end: AttemptEnd) => {
        if (ended) return;
        ended = true;
        // One watch without the others would show one key and miss the next: all go, and come back together.
        if (generation === this.generation) this.generation += 1;
        cancelReconcile();
        signal.removeEventListener('abort', onStop);
        for (const handle of handles) handle.close();
        if (clock.now() - startedAt >= STEADY_MS) this.backoff.reset();
        resolve(end);
      };
      const onStop = () => finish({ kind: 'closed' });
      const reconcileMs = RECONCILE_MS * (1 + RECONCILE_JITTER * (2 * random() - 1));
      const cancelReconcile = clock.after(reconcileMs, () => finish({ kind: 'reconcile' }));
      signal.addEventListener('abort', onStop, { once: true });
      const isCurrent = () => !ended && generation === this.generation;

      const open = (range: KeyRange) => {
        let next = startRevision;
        return etcd.watch(
          { ...range, startRevision },
          {
            created: () => {
              if (!isCurrent()) return;
              waiting -= 1;
              if (waiting === 0 && this.current.state !== 'live') this.report({ state: 'live', since: new Date() });
            },
            events: (events, header) => {
              if (!isCurrent()) return;
              // An old put that comes again would revive a key deleted since.
              const fresh = events.filter(({ modRevision }) => modRevision >= next);
              if (fresh.length === 0) return;
              next = fresh.at(-1)?.modRevision ?? next;
              this.sink.changed(fresh, header);
            },
            end: (end) => isCurrent() && finish(endOfWatch(end)),
          },
        );
      };

      try {
        for (const range of this.ranges) {
          const handle = open(range);
          handles.push(handle);
          // A port may refuse before it returns.
          if (ended) handle.close();
        }
      } catch (error) {
        finish(endOf(error));
      }
    });
  }

  private failed(error: Error | undefined): void {
    const state = this.hasListed ? 'stale' : 'pending';
    if (this.current.state === state && this.current.error?.message === error?.message) return;
    const message = `watch of ${this.subject}: ${error?.message ?? 'ended'}`;
    // The loss of the connection is the gate's to tell, once for all watches; a refusal is this watch's own.
    if (isEtcdFailure(error, 'permission-denied', 'auth', 'refused')) this.deps.log.warn(message);
    else this.deps.log.debug(message);
    this.report({ state, error: error ?? this.current.error, since: new Date() });
  }

  private report(health: WatchHealth): void {
    this.current = health;
    this.sink.healthChanged(health);
  }
}

const endOf = (error: unknown): AttemptEnd => {
  const cause = error instanceof Error ? error : new Error(String(error));
  if (isEtcdFailure(cause, 'unreachable', 'tls')) return { kind: 'lost', error: cause };
  if (cause instanceof EtcdDiscoveryError && cause.code === 'CLOSED') return { kind: 'closed', error: cause };
  return { kind: 'refused', error: cause };
};

const endOfWatch = ({ reason, error, compactRevision }: WatchEnd): AttemptEnd => {
  const refusal = error instanceof EtcdRequestError && !isEtcdFailure(error, 'unreachable', 'tls');
  const ends: Record<WatchEnd['reason'], AttemptEnd & { error: Error }> = {
    closed: { kind: 'closed', error: new Error('the client of etcd was closed') },
    silent: { kind: 'lost', error: new Error('etcd went silent') },
    error: { kind: refusal ? 'refused' : 'lost', error: new Error('the watch broke') },
    canceled: { kind: 'refused', error: new Error('etcd cancelled the watch') },
    compacted: { kind: 'refused', error: new Error(`compacted at revision ${compactRevision ?? 'unknown'}`) },
  };
  const end = ends[reason];
  return { kind: end.kind, error: error ?? end.error };
};
