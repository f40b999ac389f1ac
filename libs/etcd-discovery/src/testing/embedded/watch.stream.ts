import type { Clock, Random } from '../../utils/clock.js';
import type { EtcdState } from './etcd.state.js';
import {
  type EventMessage,
  EventType,
  type WatchCreateRequest,
  WatchFilter,
  type WatchRequest,
  type WatchResponse,
} from './etcd.messages.js';
import { keyText } from './key-index.js';
import { type Commit, rangeContains } from './mvcc.store.js';

/** `watchBatchMaxRevs`: a replay comes in answers of at most so many revisions. */
const MAX_REVISIONS_PER_ANSWER = 1000;
/** The watch id of answers that belong to no watch, or to the whole stream. */
const NO_WATCH = '-1';

/** Where answers go. */
export interface WatchSink {
  send(response: WatchResponse, fragment: boolean): void;
  /** True while so much waits to be sent that no more events should be added; `WatchStream.drained()` ends it. */
  readonly congested: boolean;
}

interface Watcher {
  readonly id: string;
  readonly key: string;
  readonly end: string;
  readonly filters: ReadonlySet<number>;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** The first revision it has not been told about. */
  nextRevision: number;
  /** `synced`: told of commits as they happen; `behind`: replays the log; `compacted`: over, but its id stays taken. */
  state: 'synced' | 'behind' | 'compacted';
  /** An event since the last progress tick makes the notification needless. */
  quiet: boolean;
}

export interface WatchStreamDeps {
  readonly state: EtcdState;
  readonly sink: WatchSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly progressNotifyIntervalMs: number;
}

/** One Watch call: its watchers, and what each of them is owed. Knows nothing of gRPC. */
export class WatchStream {
  private readonly watchers = new Map<string, Watcher>();
  private nextId = 0;
  private replayScheduled = false;
  private closed = false;
  private cancelTick: () => void = () => {};
  private readonly unsubscribe: () => void;

  constructor(private readonly deps: WatchStreamDeps) {
    this.unsubscribe = deps.state.kv.onCommit((commit) => this.notify(commit));
    this.armTick();
  }

  handle(request: WatchRequest): void {
    if (request.create_request) this.create(request.create_request);
    else if (request.cancel_request) this.cancel(request.cancel_request.watch_id);
    else if (request.progress_request) this.send({ watch_id: NO_WATCH });
  }

  /** The sink is no longer congested: those that fell behind catch up. */
  drained(): void {
    this.replay();
  }

  close(): void {
    this.closed = true;
    this.unsubscribe();
    this.cancelTick();
    this.watchers.clear();
  }

  private create(request: WatchCreateRequest): void {
    const { kv } = this.deps.state;
    const key = request.key.length > 0 ? keyText(request.key) : '\0';
    const end = keyText(request.range_end);
    const refusal = this.refusalOf(request.watch_id, key, end);
    if (refusal) {
      this.send({ watch_id: NO_WATCH, created: true, canceled: true, cancel_reason: refusal });
      return;
    }
    const id = request.watch_id === '0' ? this.allocateId() : request.watch_id;
    const start = Number(request.start_revision);
    const behind = start !== 0 && start <= kv.revision;
    const watcher: Watcher = {
      id,
      key,
      end,
      filters: new Set(request.filters),
      prevKv: request.prev_kv,
      fragment: request.fragment,
      progressNotify: request.progress_notify,
      nextRevision: start === 0 ? kv.revision + 1 : start,
      state: behind ? 'behind' : 'synced',
      quiet: true,
    };
    this.watchers.set(id, watcher);
    this.send({ watch_id: id, created: true });
    if (behind) this.replay();
  }

  private refusalOf(id: string, key: string, end: string): string | undefined {
    if (end !== '' && end !== '\0' && key >= end) return 'mvcc: watcher range is empty';
    if (id !== '0' && this.watchers.has(id)) return 'mvcc: duplicate watch ID provided on the WatchStream';
    return undefined;
  }

  private allocateId(): string {
    while (this.watchers.has(String(this.nextId))) this.nextId++;
    return String(this.nextId++);
  }

  private cancel(id: string): void {
    // As in etcd, a watch that is not there is cancelled without an answer.
    if (this.watchers.delete(id)) this.send({ watch_id: id, canceled: true });
  }

  private notify(commit: Commit): void {
    for (const watcher of this.watchers.values()) {
      if (watcher.state !== 'synced' || commit.revision < watcher.nextRevision) continue;
      if (this.deps.sink.congested) {
        watcher.state = 'behind';
        watcher.nextRevision = commit.revision;
        continue;
      }
      this.sendEvents(watcher, [commit], commit.revision);
    }
  }

  /** One answer for each watcher that is behind; the next ones in later turns, so that a long log blocks nobody. */
  private replay(): void {
    const { kv } = this.deps.state;
    let more = false;
    for (const watcher of this.watchers.values()) {
      if (watcher.state !== 'behind') continue;
      if (watcher.nextRevision < kv.compacted) {
        watcher.state = 'compacted';
        // etcd leaves the header's revision empty here.
        this.send({ watch_id: watcher.id, canceled: true, compact_revision: kv.compacted }, 0);
        continue;
      }
      if (this.deps.sink.congested) return;
      watcher.nextRevision = this.replayTo(watcher);
      if (watcher.nextRevision > kv.revision) watcher.state = 'synced';
      else more = true;
    }
    if (more) this.scheduleReplay();
  }

  /** Sends the next answer of the log to `watcher` and returns the revision it has yet to see. */
  private replayTo(watcher: Watcher): number {
    const { kv } = this.deps.state;
    const batch: Commit[] = [];
    let next = watcher.nextRevision;
    // Only revisions with something for this watcher count towards the size of an answer.
    while (next <= kv.revision) {
      const commits = kv.commitsSince(next, MAX_REVISIONS_PER_ANSWER);
      if (commits.length === 0) break;
      for (const commit of commits) {
        if (commit.events.some((event) => this.isInRange(watcher, event))) {
          if (batch.length === MAX_REVISIONS_PER_ANSWER) {
            this.sendEvents(watcher, batch, kv.revision);
            return commit.revision;
          }
          batch.push(commit);
        }
        next = commit.revision + 1;
      }
    }
    if (batch.length > 0) this.sendEvents(watcher, batch, kv.revision);
    return kv.revision + 1;
  }

  private scheduleReplay(): void {
    if (this.replayScheduled) return;
    this.replayScheduled = true;
    setImmediate(() => {
      this.replayScheduled = false;
      if (!this.closed) this.replay();
    });
  }

  private isInRange(watcher: Watcher, event: EventMessage): boolean {
    return rangeContains(watcher.key, watcher.end, keyText(event.kv.key));
  }

  private sendEvents(watcher: Watcher, commits: readonly Commit[], revision: number): void {
    const skipped = watcher.filters;
    const events: EventMessage[] = [];
    for (const commit of commits) {
      for (const event of commit.events) {
        const filter = event.type === EventType.put ? WatchFilter.noPut : WatchFilter.noDelete;
        if (skipped.has(filter) || !this.isInRange(watcher, event)) continue;
        events.push(watcher.prevKv ? { ...event, prev_kv: this.previousOf(event) } : event);
      }
    }
    if (events.length === 0) return;
    watcher.quiet = false;
    this.send({ watch_id: watcher.id, events }, revision, watcher.fragment);
  }

  private previousOf({ type, kv }: EventMessage): EventMessage['prev_kv'] {
    const isCreate = type === EventType.put && kv.create_revision === kv.mod_revision;
    return isCreate ? undefined : this.deps.state.kv.valueAt(keyText(kv.key), kv.mod_revision - 1);
  }

  private send(response: Omit<WatchResponse, 'header'>, revision?: number, fragment = false): void {
    this.deps.sink.send({ header: this.deps.state.header(revision), ...response }, fragment);
  }

  private armTick(): void {
    const { clock, random, progressNotifyIntervalMs: interval } = this.deps;
    // etcd adds up to a tenth, so that streams opened together are not told together.
    this.cancelTick = clock.after(interval + (random() * interval) / 10, () => {
      this.announceProgress();
      this.armTick();
    });
  }

  private announceProgress(): void {
    for (const watcher of this.watchers.values()) {
      if (watcher.progressNotify && watcher.quiet && watcher.state === 'synced') this.send({ watch_id: watcher.id });
      watcher.quiet = true;
    }
  }
}
