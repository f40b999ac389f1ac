import type { EtcdClient, EtcdKeyValue, WatchEnd, WatchEvent, WatchHandle } from '../etcd/etcd-client.js';
import { sleep } from '../utils/abort.js';
import { Backoff } from '../utils/backoff.js';
import type { Clock, Random } from '../utils/clock.js';

/** A watch that lasted this long was a good one: the next break starts with the shortest delay again. */
const GOOD_WATCH_MS = 5_000;
/** For the read after a break, ms: when etcd has just come back, everybody reads, and whoever gives up has to dial anew. */
const LIST_MS = 4_000;
/** How often the key is read although the watch seems well, ms ±20 %: etcd has had bugs that lost single events. */
const RECONCILE_MS = 300_000;

/** What etcd showed of the key. */
export interface KeySighting {
  /** The key as of `revision`; undefined = absent. */
  readonly found?: EtcdKeyValue;
  readonly revision: number;
  /** `list`: read after a break of the watch. It counts even if the revision went back, as after a restore. */
  readonly source: 'event' | 'list';
  /** For a list, what `epoch()` said when it was asked for. */
  readonly epoch: number;
}

/**
 * Follows one key of our own on the process's shared watch stream, so that a key deleted, overwritten or gone with a
 * lease whose renewals lie is noticed at once. However the watch ends, the key is read at the latest revision and
 * watched from the next one; it is never resumed blindly, because a restored etcd accepts that and stays silent. Every
 * 5 min ±20 % the key is read beside the watch.
 */
export class OwnKeyWatch {
  private readonly closing = new AbortController();
  private readonly backoff: Backoff;
  private handle?: WatchHandle;
  /** The latest that the watch in place has shown. */
  private shownRevision = 0;
  private ended?: (end: WatchEnd) => void;
  private following = false;
  private cancelReconcile?: () => void;

  constructor(
    private readonly deps: {
      readonly etcd: EtcdClient;
      readonly key: string;
      readonly clock: Clock;
      readonly random: Random;
      /** A number that changes whenever we write the key ourselves. */
      epoch(): number;
      seen(sighting: KeySighting): void;
    },
  ) {
    this.backoff = new Backoff({ initialMs: 100, maxMs: 2_000 }, deps.random);
  }

  /** Starts after `revision`, at which the key is known. Later calls change nothing. */
  follow(revision: number): void {
    if (this.following || this.closing.signal.aborted) return;
    this.following = true;
    this.reconcileLater();
    void this.run(revision);
  }

  /** No sighting comes afterwards. Idempotent. */
  close(): void {
    this.closing.abort();
    this.cancelReconcile?.();
    this.handle?.close();
    this.ended?.({ reason: 'closed' });
  }

  private async run(revision: number): Promise<void> {
    const { clock } = this.deps;
    let known: number | undefined = revision;
    while (!this.closing.signal.aborted) {
      if (known !== undefined) {
        const startedAt = clock.now();
        await this.watchFrom(known + 1);
        if (clock.now() - startedAt >= GOOD_WATCH_MS) this.backoff.reset();
      }
      await this.deps.etcd.gate.whenOpen(this.closing.signal);
      await sleep(clock, this.backoff.nextDelayMs(), this.closing.signal);
      if (this.closing.signal.aborted) return;
      known = await this.list();
    }
  }

  private reconcileLater(): void {
    const { clock, random } = this.deps;
    this.cancelReconcile = clock.after(RECONCILE_MS * (0.8 + 0.4 * random()), () => {
      if (this.handle) void this.list(this.handle);
      this.reconcileLater();
    });
  }

  /** Resolves when the watch has ended. */
  private watchFrom(startRevision: number): Promise<void> {
    return new Promise((resolve) => {
      let over = false;
      this.shownRevision = 0;
      this.ended = () => {
        over = true;
        this.ended = undefined;
        this.handle = undefined;
        resolve();
      };
      const handle = this.deps.etcd.watch(
        { key: this.deps.key, startRevision },
        { events: (events) => events.forEach((event) => this.sawEvent(event)), end: (end) => this.ended?.(end) },
      );
      // The end may have come from within `watch()` already.
      if (!over) this.handle = handle;
    });
  }

  /** @param beside the watch in place, if there is one: what it showed meanwhile is newer than an answer from before */
  private async list(beside?: WatchHandle): Promise<number | undefined> {
    const epoch = this.deps.epoch();
    try {
      const call = { via: 'watch', timeoutMs: LIST_MS, signal: this.closing.signal } as const;
      const answer = await this.deps.etcd.range({ key: this.deps.key }, call);
      if (this.closing.signal.aborted) return undefined;
      const { revision } = answer.header;
      if (beside && (beside !== this.handle || revision < this.shownRevision)) return undefined;
      const found = answer.kvs[0];
      this.deps.seen({ ...(found && { found }), revision, source: 'list', epoch });
      return revision;
    } catch {
      // Whatever it was, the gate and the backoff decide when to ask again; the lease session reports outages.
      return undefined;
    }
  }

  private sawEvent(event: WatchEvent): void {
    if (this.closing.signal.aborted) return;
    const revision = event.modRevision;
    this.shownRevision = revision;
    this.deps.seen({
      ...(event.type === 'put' && { found: event }),
      revision,
      source: 'event',
      epoch: this.deps.epoch(),
    });
  }
}
