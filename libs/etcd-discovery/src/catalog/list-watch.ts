import { setMaxListeners } from 'node:events';
import type { EtcdClient, EtcdHeader, KeyRange, WatchEvent } from '../etcd/etcd-client.js';
import { isEtcdFailure } from '../etcd/etcd-status.js';
import { HEARTBEAT_MS } from '../etcd/watch-stream.js';
import { sleep } from '../utils/abort.js';
import { StallWatch } from '../utils/stall-watch.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { type AttemptEnd, behindTheList, endOf, endOfWatch, RECONCILE } from './attempt-end.js';
import { EtcdHistory, isBehind } from './etcd-history.js';
import { RangeList, type Listing, type ListReader } from './range-list.js';
import { RangeWatches } from './range-watches.js';
import { RelistDelay } from './relist-delay.js';
import type { WatchHealth } from './service-catalog.js';
import { WatchGap } from './watch-gap.js';

/** A watch that lived this long was a good one: the next failure is a new story. */
const STEADY_MS = 5_000;
/** The reconciling list: every 5 min ±20 % (promise P8). */
const RECONCILE_MS = 300_000;
const RECONCILE_JITTER = 0.2;
/** After so many lists and watches in a row that a compaction overtook, the watch is opened before the list. */
const MOST_OVERTAKEN = 3;

export interface ListWatchSink<T> extends ListReader<T> {
  /**
   * Everything there is at `revision`. `newestRevision` is later only where the list could not be read at one revision:
   * then parts of it are as new as that, and what the others lack comes next, as changes. Nothing comes, neither changes
   * nor another list, before what it returns is settled.
   */
  listed(items: readonly T[], revision: number, newestRevision: number): void | Promise<void>;
  /** What came after the list; of each watched range every revision once and in order. */
  changed(events: readonly WatchEvent[], header: EtcdHeader): void;
  healthChanged(health: WatchHealth): void;
}

export interface ListWatchDeps {
  readonly etcd: EtcdClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Nobody hears that the first list failed before what can stand in for it is at hand. Never rejects. */
  readonly standInReady?: Promise<void>;
}

/**
 * Keeps a reader equal to some ranges of etcd: a list at one revision, then watches from the next one. Whatever ends a
 * watch, the answer is the same: wait for the gate, wait with jitter, list again. It never resumes by revision, because
 * after a restore or a wipe etcd accepts that and stays silent.
 *
 * Lists read values, with one exception: after a short gap (`WatchGap`), with a cache in hand, keys are listed and only
 * what differs is read, provided that the answer can only come from the history that the cache shows
 * (`EtcdHistory.goesOn`): a restored etcd can answer a list of keys byte for byte alike with other values behind it.
 */
export class ListWatch<T> {
  private readonly stopping = new AbortController();
  private readonly delay: RelistDelay;
  private readonly list: RangeList<T>;
  private readonly gap: WatchGap;
  private readonly history = new EtcdHistory();
  private hasListed = false;
  private overtaken = 0;
  /** A token that ran out is nobody's concern, unless the watch is refused again soon. */
  private excused = false;
  /** The failure that lasts was an excused one. */
  private untold = false;
  private current: WatchHealth = { state: 'pending', since: new Date() };

  constructor(
    private readonly deps: ListWatchDeps,
    /** What is watched, for the log. */
    private readonly subject: string,
    private readonly ranges: readonly KeyRange[],
    private readonly sink: ListWatchSink<T>,
  ) {
    const { etcd, clock, random } = deps;
    // Keys that differ are read side by side; more than ten of them are no leak.
    setMaxListeners(0, this.stopping.signal);
    this.delay = new RelistDelay(random);
    this.gap = new WatchGap(etcd.gate, clock);
    this.list = new RangeList({ etcd, clock, ranges, reader: sink });
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
    this.stopping.abort();
    this.gap.close();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let last: AttemptEnd | undefined;
    while (!signal.aborted) {
      await this.turn(last?.kind, signal);
      if (signal.aborted) return;
      last = await this.attempt(signal);
      if (signal.aborted) return;
      if (last.overtaken) this.overtaken += 1;
      const excusable = last.staleToken === true && !this.excused;
      this.excused ||= excusable;
      if (last.kind !== 'reconcile' && !this.mayBeAnsweredElsewhere(last)) await this.failed(last.error, excusable);
      if (signal.aborted) return;
      // The client under us was closed first; there is nothing left to wait for.
      if (last.kind === 'closed') return;
    }
  }

  /**
   * While the gate is open not every endpoint has failed: whoever waits for the first list must not be told that etcd
   * refused because one member was silent. Once they all have, the gate says so.
   */
  private mayBeAnsweredElsewhere({ kind }: AttemptEnd): boolean {
    return kind === 'lost' && !this.hasListed && this.deps.etcd.gate.state.open;
  }

  /** Waits until it is time for the next attempt. */
  private async turn(last: AttemptEnd['kind'] | undefined, signal: AbortSignal): Promise<void> {
    const { gate } = this.deps.etcd;
    for (;;) {
      if (!gate.state.open) {
        if (gate.state.error) await this.failed(gate.state.error);
        await gate.whenOpen(signal);
        // Still shut: the client under us was closed, and says so when it is asked.
        if (!gate.state.open) return;
      }
      if (signal.aborted) return;
      this.gap.answered();
      const delayMs = this.delay.next(last, this.hasListed);
      if (delayMs === 0) return;
      await sleep(this.deps.clock, delayMs, signal);
      if (signal.aborted || gate.state.open) return;
    }
  }

  private async attempt(signal: AbortSignal): Promise<AttemptEnd> {
    try {
      if (this.overtaken >= MOST_OVERTAKEN) return await this.watch(signal);
      const listing = await this.listAgain(signal);
      if (signal.aborted) return { kind: 'closed' };
      await this.publish(listing);
      if (signal.aborted) return { kind: 'closed' };
      return await this.watch(signal, listing);
    } catch (error) {
      const end = endOf(error);
      this.gap.ended(end);
      return end;
    }
  }

  private async listAgain(signal: AbortSignal): Promise<Listing<T>> {
    if (this.hasListed && this.gap.short) {
      const listing = await this.list.compared(signal, (header) => this.history.goesOn(header, this.gap.unbroken));
      if (listing) {
        this.history.saw(listing.header);
        return listing;
      }
    }
    const listing = await this.list.full(signal);
    this.history.startsAt(listing.header);
    return listing;
  }

  private async publish({ items, header, newestRevision }: Listing<T>): Promise<void> {
    this.hasListed = true;
    this.gap.listed();
    // Whoever waited for this list should not read that etcd has not answered; a stale one stays so until it is watched.
    if (this.current.state === 'pending') this.report({ state: 'live', since: new Date() });
    if (this.stopping.signal.aborted) return;
    await this.sink.listed(items, header.revision, newestRevision);
  }

  /**
   * Watches from the list on; without one, lists once the watch is there: no compaction can come in between then, but
   * the pages are of different revisions, and what they hold already is kept back.
   */
  private watch(signal: AbortSignal, listed?: Listing<T>): Promise<AttemptEnd> {
    const { clock, random, etcd } = this.deps;
    return new Promise((resolve) => {
      const startedAt = clock.now();
      const stalls = new StallWatch(clock);
      const over = new AbortController();
      let listing = listed;
      let publishing: Promise<void> | undefined;
      const finish = (end: AttemptEnd) => {
        if (over.signal.aborted) return;
        over.abort();
        this.gap.ended(end);
        cancelReconcile();
        stalls.stop();
        signal.removeEventListener('abort', onStop);
        watches.close();
        if (clock.now() - startedAt >= STEADY_MS) this.steady();
        const ended = () => end;
        resolve(publishing ? publishing.then(ended, ended) : end);
      };
      const onStop = () => finish({ kind: 'closed' });
      const reconcileMs = RECONCILE_MS * (1 + RECONCILE_JITTER * (2 * random() - 1));
      const cancelReconcile = clock.after(reconcileMs, () => finish(RECONCILE));
      signal.addEventListener('abort', onStop, { once: true });

      const live = () => {
        stalls.stop();
        this.gap.watched();
        if (this.current.state !== 'live') this.report({ state: 'live', since: new Date() });
      };
      const listLate = async (created: readonly EtcdHeader[]) => {
        const late = await this.list.unpinned(over.signal);
        if (over.signal.aborted) return;
        if (created.some((header) => isBehind(late.header, header))) return finish(behindTheList());
        listing = late;
        this.history.startsAt({ ...late.header, revision: late.newestRevision });
        this.overtaken = 0;
        await (publishing = this.publish(late));
        if (over.signal.aborted) return;
        live();
        watches.deliver();
      };
      const watches = new RangeWatches(etcd, this.ranges, {
        created: (headers) => {
          if (!listing) return void listLate(headers).catch((error: unknown) => finish(endOf(error)));
          const { header } = listing;
          // Accepted from a revision that is yet to come, the watch of a restored etcd would be silent until then; and
          // who knows whose list it was when the connection broke after it, or this process was stopped meanwhile.
          const stalled = stalls.longestMs > HEARTBEAT_MS;
          const other =
            !this.gap.unbroken ||
            headers.some((created) => isBehind(created, header) || (stalled && !this.history.goesOn(created, false)));
          if (other) return finish(behindTheList());
          for (const created of headers) this.history.saw(created);
          live();
        },
        events: (events, header) => {
          this.history.saw(header);
          const news = listing ? events.filter(({ key, modRevision }) => !listing?.includes(key, modRevision)) : events;
          if (news.length > 0) this.sink.changed(news, header);
        },
        progress: (header) => this.history.saw(header),
        end: (end) => finish(endOfWatch(end)),
      });
      if (listing) watches.deliver();
      try {
        watches.open(listing ? listing.header.revision + 1 : 0);
      } catch (error) {
        finish(endOf(error));
      }
    });
  }

  private steady(): void {
    this.delay.reset();
    this.overtaken = 0;
    this.excused = false;
  }

  private async failed(error: Error | undefined, excusable = false): Promise<void> {
    if (!this.hasListed && this.deps.standInReady) await this.deps.standInReady;
    if (this.stopping.signal.aborted) return;
    const state = this.hasListed ? 'stale' : 'pending';
    const known = this.current.state === state && this.current.error?.message === error?.message;
    if (known && (excusable || !this.untold)) return;
    this.untold = excusable;
    const message = `watch of ${this.subject}: ${error?.message ?? 'ended'}`;
    // The loss of the connection is the gate's to tell, once for all watches; a refusal is this watch's own.
    const refused = isEtcdFailure(error, 'permission-denied', 'auth', 'refused', 'too-large');
    if (refused && !excusable) this.deps.log.warn(message);
    else this.deps.log.debug(message);
    if (!known) this.report({ state, error: error ?? this.current.error, since: new Date() });
  }

  private report(health: WatchHealth): void {
    this.current = health;
    this.sink.healthChanged(health);
  }
}
