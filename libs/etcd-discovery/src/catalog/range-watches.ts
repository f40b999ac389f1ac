import type { EtcdClient, EtcdHeader, KeyRange, WatchEnd, WatchEvent, WatchHandle } from '../etcd/etcd-client.js';

/** Events that come while the list is still being read wait for it; more than this are cheaper read by another list. */
const MOST_HELD = 10_000;

export interface RangeWatchesObserver {
  /** Every watch is created: from now on nothing is missed. The headers in the order of the ranges. */
  created(headers: readonly EtcdHeader[]): void;
  /** Of each range every revision once and in order; only after `deliver()`. */
  events(events: readonly WatchEvent[], header: EtcdHeader): void;
  /** A sign of life with no events in it. */
  progress(header: EtcdHeader): void;
  /** One of the watches has ended and taken the others along; called once, and not after `close()`. */
  end(end: WatchEnd): void;
}

/**
 * The watches of some ranges as one: one of them without the others would show one key and miss the next, so they end
 * together. Nothing is heard of them after that.
 */
export class RangeWatches {
  private readonly handles: WatchHandle[] = [];
  private readonly headers = new Map<KeyRange, EtcdHeader>();
  private held: { readonly events: readonly WatchEvent[]; readonly header: EtcdHeader }[] | undefined = [];
  private heldCount = 0;
  private over = false;

  constructor(
    private readonly etcd: Pick<EtcdClient, 'watch'>,
    private readonly ranges: readonly KeyRange[],
    private readonly observer: RangeWatchesObserver,
  ) {}

  /** From `startRevision` on; 0 is whatever comes after the watches are created. @throws what the port throws */
  open(startRevision: number): void {
    try {
      for (const range of this.ranges) {
        if (this.over) return;
        const handle = this.watch(range, startRevision);
        this.handles.push(handle);
        // A port may refuse before it returns.
        if (this.over) handle.close();
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The list has been read: what was held back goes out, and what comes goes out at once. */
  deliver(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const { events, header } of held) if (!this.over) this.observer.events(events, header);
  }

  close(): void {
    this.over = true;
    this.held = undefined;
    for (const handle of this.handles) handle.close();
  }

  private watch(range: KeyRange, startRevision: number): WatchHandle {
    let next = startRevision;
    return this.etcd.watch(
      { ...range, startRevision },
      {
        created: (header) => {
          if (this.over) return;
          this.headers.set(range, header);
          if (this.headers.size < this.ranges.length) return;
          this.observer.created(this.ranges.flatMap((each) => this.headers.get(each) ?? []));
        },
        events: (events, header) => {
          if (this.over) return;
          // An old put that comes again would revive a key deleted since.
          const fresh = events.filter(({ modRevision }) => modRevision >= next);
          if (fresh.length === 0) return;
          next = (fresh.at(-1)?.modRevision ?? next) + 1;
          this.pass(fresh, header);
        },
        progress: (header) => {
          if (!this.over) this.observer.progress(header);
        },
        end: (end) => this.end(end),
      },
    );
  }

  private pass(events: readonly WatchEvent[], header: EtcdHeader): void {
    if (!this.held) return this.observer.events(events, header);
    this.heldCount += events.length;
    if (this.heldCount > MOST_HELD) {
      const error = new Error(`more than ${MOST_HELD} changes came while the list was read`);
      return this.end({ reason: 'canceled', error });
    }
    this.held.push({ events, header });
  }

  private end(end: WatchEnd): void {
    if (this.over) return;
    this.close();
    this.observer.end(end);
  }
}
