import type { KeyRange, WatchEvent } from '../../src/etcd/etcd-client.js';
import { EtcdRequestError } from '../../src/etcd/etcd-status.js';
import type { OpenedWatchStream, WatchMessage, WatchStreamListener } from '../../src/etcd/watch-transport.js';
import type { Clock } from '../../src/utils/clock.js';
import type { Link } from './link.js';
import { inRange } from './model-store.js';
import type { ModelServer } from './model-server.js';

interface ServedWatch {
  readonly range: KeyRange;
  readonly startRevision: number;
}

/** One watch stream between a process and the model's etcd, and everything that can be wrong with one. */
export class ModelStream implements OpenedWatchStream {
  readonly endpoint = 'model:2379';
  /** Lies in silence: answers questions for progress and hands on no event. */
  mute = false;
  /** So many batches of events get lost. */
  dropping = 0;
  /** The next batch of events comes after the one that follows it. */
  swapping = false;
  /** Events come this much later than answers, ms. */
  lagMs = 0;
  /** Revisions of several events are cut in two messages. */
  fragmenting = false;
  private readonly watches = new Map<number, ServedWatch>();
  private lastAt = 0;
  private swapped: WatchMessage | undefined;
  private over = false;

  constructor(
    private readonly server: ModelServer,
    private readonly link: Link,
    /** The time of the process at the other end. */
    private readonly clock: Clock,
    private readonly listener: WatchStreamListener,
    private readonly onOver: () => void,
  ) {
    server.streams.add(this);
  }

  create(watchId: number, range: KeyRange, startRevision: number): void {
    this.toServer(() => this.created(watchId, { range, startRevision }));
  }

  cancel(watchId: number): void {
    this.toServer(() => this.watches.delete(watchId));
  }

  requestProgress(): void {
    this.toServer(() => this.send({}));
  }

  destroy(): void {
    this.over = true;
    this.server.streams.delete(this);
    this.onOver();
  }

  tokenRefused(): void {}

  /** The server, or somebody between, ends the stream. */
  break(text: string): void {
    if (this.over) return;
    this.destroy();
    // A stopped process hears of it when it goes on.
    this.clock.after(1, () => this.listener.end(new EtcdRequestError('unreachable', text)));
  }

  /** Works from now on; what was lost stays lost. */
  heal(): void {
    this.mute = false;
    this.dropping = 0;
    this.swapping = false;
    this.lagMs = 0;
  }

  /** The server ends one of the watches, the first one or `index` further. */
  cancelWatch(index: number, more: { cancelReason?: string; compactRevision?: number }): void {
    const ids = [...this.watches.keys()];
    const watchId = ids[index % Math.max(1, ids.length)];
    if (watchId === undefined) return;
    this.watches.delete(watchId);
    this.send({ watchId, canceled: true, ...more });
  }

  /** Hands out again what has been handed out since `revision`, older events than were asked for included. */
  replay(revision: number): void {
    for (const [id, { range }] of this.watches) this.sendEvents(id, this.past(range, revision));
  }

  committed(events: readonly WatchEvent[]): void {
    for (const [id, { range, startRevision }] of this.watches) {
      const seen = events.filter(({ key, modRevision }) => modRevision >= startRevision && inRange(range, key));
      if (seen.length === 0 || this.mute) continue;
      if (this.dropping > 0) this.dropping -= 1;
      else this.sendEvents(id, seen);
    }
  }

  private created(watchId: number, watch: ServedWatch): void {
    const cancelReason = this.server.refusalOfWatch();
    if (cancelReason !== undefined) return this.send({ watchId, created: true, canceled: true, cancelReason });
    this.send({ watchId, created: true });
    const { compacted, revision } = this.server.store;
    // 0 is whatever comes from now on.
    if (watch.startRevision === 0) return void this.watches.set(watchId, { ...watch, startRevision: revision + 1 });
    if (watch.startRevision <= compacted) return this.send({ watchId, canceled: true, compactRevision: compacted });
    this.watches.set(watchId, watch);
    if (!this.mute) this.sendEvents(watchId, this.past(watch.range, watch.startRevision));
  }

  private past(range: KeyRange, revision: number): WatchEvent[] {
    return this.server.store.history.filter((event) => event.modRevision >= revision && inRange(range, event.key));
  }

  private sendEvents(watchId: number, events: readonly WatchEvent[]): void {
    if (events.length === 0) return;
    const cut = this.fragmenting && events.length > 1 ? events.length >> 1 : events.length;
    const rest = events.slice(cut);
    this.sendBatch({ watchId, fragment: rest.length > 0, events: events.slice(0, cut) });
    if (rest.length > 0) this.sendBatch({ watchId, events: rest });
  }

  private sendBatch(message: Partial<WatchMessage>): void {
    if (this.swapping && !this.fragmenting) {
      this.swapping = false;
      this.swapped = this.message(message);
      return;
    }
    this.send(message, this.lagMs);
    const { swapped } = this;
    this.swapped = undefined;
    if (swapped) this.send(swapped, this.lagMs);
  }

  private message(message: Partial<WatchMessage>): WatchMessage {
    return {
      header: this.server.header(),
      watchId: -1,
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: '',
      fragment: false,
      events: [],
      ...message,
    };
  }

  /** Messages of a stream never overtake each other. */
  private send(message: Partial<WatchMessage>, lagMs = 0): void {
    const full = this.message(message);
    const now = this.clock.now();
    this.lastAt = Math.max(this.lastAt, now + this.link.travelMs() + lagMs);
    this.clock.after(this.lastAt - now, () => {
      const deliver = () => {
        if (!this.over) this.listener.message(full);
      };
      this.link.pass(deliver, (text) => this.break(text));
    });
  }

  private toServer(run: () => void): void {
    this.server.clock.after(this.link.travelMs(), () => {
      if (this.over) return;
      const broken = (text: string) => this.break(text);
      this.link.pass(() => this.server.receive({ run: () => !this.over && run(), broken }), broken);
    });
  }
}
