import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { DeliveredRevisions } from './delivered-revisions.js';
import type { KeyRange, WatchEnd, WatchEvent, WatchObserver } from './etcd-client.js';
import { type EtcdFailure, EtcdRequestError } from './etcd-status.js';
import { failureOfWords, messageFor, toEtcdRequestError } from './etcd3-status.js';
import type { OpenWatchStream, OpenedWatchStream, WatchMessage } from './watch-transport.js';

/** After so long without a byte the server is asked for a sign of life; after twice as long the stream is silent. */
export const HEARTBEAT_MS = 3_000;

/** After an outage that the stream has outlived, it has so long to show that it did, ms. */
const PROOF_MS = 500;

/** A server that answers everything but a create is as good as silent. */
const CREATE_TIMEOUT_MS = 10_000;

/** A heartbeat that comes this late was held up by our own event loop, and so was the server's answer. */
const LATE_MS = HEARTBEAT_MS / 2;

export interface WatchStreamDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly open: OpenWatchStream;
  /** The stream takes no more watches: it is over, or its token has run out. Called at most once. */
  readonly onUnusable: (stream: WatchStream) => void;
  /** The stream is over and has told all its watches. */
  readonly onClosed: (stream: WatchStream) => void;
}

export interface WatchRequest extends KeyRange {
  readonly startRevision: number;
}

interface Watch {
  readonly request: WatchRequest;
  readonly observer: WatchObserver;
  /** Set once the create has been written. */
  requestedAt?: number;
  /** Events of a revision that is not complete yet. */
  readonly held: WatchEvent[];
  readonly delivered: DeliveredRevisions;
}

type State =
  | { readonly name: 'opening' }
  | { readonly name: 'open'; readonly raw: OpenedWatchStream }
  | { readonly name: 'closed' };

/**
 * One watch stream with many watches, each by an id of our choice. A watch that is refused, canceled or compacted ends
 * alone; the end of the stream ends them all. The stream closes with its last watch.
 */
export class WatchStream {
  private state: State = { name: 'opening' };
  private readonly watches = new Map<number, Watch>();
  /** Ids whose create has not been answered, in order; etcd answers them in order. */
  private readonly unanswered: number[] = [];
  private nextId = 1;
  private usable = true;
  private lastByteAt: number;
  /** A sign of life was asked for, and nothing has come since. */
  private asked = false;
  private cancelHeartbeat: (() => void) | undefined;

  constructor(private readonly deps: WatchStreamDeps) {
    this.lastByteAt = deps.clock.now();
    void this.openStream();
  }

  /** Adds a watch; the returned function takes it away. */
  add(request: WatchRequest, observer: WatchObserver): () => void {
    // Ids start at 1, because 0 means "choose one for me", and are never used twice on a stream.
    const id = this.nextId++;
    this.watches.set(id, { request, observer, held: [], delivered: new DeliveredRevisions(request.startRevision - 1) });
    if (this.state.name === 'open') this.create(id);
    return () => this.remove(id);
  }

  /** Ends every watch with `end`. */
  close(end: WatchEnd): void {
    this.finish(end, false);
  }

  /** Asks for a sign of life now and ends as silent without one, long before the next heartbeat would. */
  prove(): void {
    if (this.state.name !== 'open') return;
    this.cancelHeartbeat?.();
    this.asked = true;
    this.state.raw.requestProgress();
    this.scheduleHeartbeat(PROOF_MS);
  }

  private async openStream(): Promise<void> {
    let raw: OpenedWatchStream;
    try {
      raw = await this.deps.open({
        message: (message) => this.receive(message),
        end: (error) => this.finish({ reason: 'error', error }, false),
      });
    } catch (error) {
      return this.finish({ reason: 'error', error: error as Error }, false);
    }
    // Everyone left while it was being opened.
    if (this.state.name === 'closed') return raw.destroy(false);
    this.state = { name: 'open', raw };
    this.lastByteAt = this.deps.clock.now();
    for (const id of this.watches.keys()) this.create(id);
    this.scheduleHeartbeat(HEARTBEAT_MS);
  }

  private create(id: number): void {
    const watch = this.watches.get(id);
    if (this.state.name !== 'open' || !watch) return;
    watch.requestedAt = this.deps.clock.now();
    this.unanswered.push(id);
    this.state.raw.create(id, watch.request, watch.request.startRevision);
  }

  private remove(id: number): void {
    const watch = this.watches.get(id);
    if (!watch) return;
    this.watches.delete(id);
    if (this.watches.size === 0) return this.finish({ reason: 'closed' }, false);
    if (this.state.name === 'open' && watch.requestedAt !== undefined) this.state.raw.cancel(id);
  }

  private receive(message: WatchMessage): void {
    if (this.state.name !== 'open') return;
    this.lastByteAt = this.deps.clock.now();
    this.asked = false;
    if (message.created) return this.answered(message);
    if (message.canceled) {
      // A refusal of etcd 3.5 and later may come without an id: then it is about the oldest unanswered create.
      if (message.watchId < 1) return this.answered(message);
      return this.canceled(message.watchId, message);
    }
    const watch = this.watches.get(message.watchId);
    if (!watch) return;
    if (message.events.length === 0 && !message.fragment && watch.held.length === 0) {
      return this.notify(message.watchId, () => watch.observer.progress?.(message.header));
    }
    this.collect(message.watchId, watch, message);
  }

  private answered(message: WatchMessage): void {
    const at = this.unanswered.indexOf(message.watchId);
    const id = this.unanswered.splice(Math.max(at, 0), 1)[0];
    if (id === undefined) return;
    if (message.canceled) return this.canceled(id, message);
    const watch = this.watches.get(id);
    if (watch) this.notify(id, () => watch.observer.created?.(message.header));
  }

  private canceled(id: number, { cancelReason, compactRevision }: WatchMessage): void {
    const unanswered = this.unanswered.indexOf(id);
    if (unanswered >= 0) this.unanswered.splice(unanswered, 1);
    if (!this.watches.has(id) || this.state.name !== 'open') return;
    if (compactRevision > 0) return this.end(id, { reason: 'compacted', compactRevision });
    const failure = failureOfWords(cancelReason);
    const error = this.refusal(failure, cancelReason || 'the server canceled the watch');
    if (failure === 'auth') this.state.raw.tokenRefused();
    // The server checks the token that the stream was opened with: etcd 3.4 says "permission denied" when it expired.
    // Watches that are on the stream go on; new ones need another.
    if (failure === 'auth' || (failure === 'permission-denied' && id > 1)) this.becomeUnusable();
    if (failure === 'compacted') return this.end(id, { reason: 'compacted', error });
    this.end(id, { reason: 'canceled', error });
  }

  /** Hands on whole revisions; the last one of a fragment may go on in the next message and is held back. */
  private collect(id: number, watch: Watch, { fragment, events, header }: WatchMessage): void {
    for (const event of events) {
      const judgement = watch.delivered.judge(event.modRevision);
      const newest = watch.held.at(-1)?.modRevision ?? 0;
      if (judgement === 'late' || (judgement === 'new' && event.modRevision < newest))
        return this.outOfOrder(id, event.modRevision);
      if (judgement === 'new') watch.held.push(event);
    }
    const last = watch.held.at(-1)?.modRevision;
    if (last === undefined) return;
    const complete = fragment ? watch.held.findIndex(({ modRevision }) => modRevision === last) : watch.held.length;
    const ready = watch.held.splice(0, complete);
    if (ready.length === 0) return;
    for (const { modRevision } of ready) watch.delivered.add(modRevision);
    this.notify(id, () => watch.observer.events(ready, header));
  }

  /** An event that newer ones have overtaken cannot be put where it belongs: whoever watches has to list. */
  private outOfOrder(id: number, revision: number): void {
    if (this.state.name === 'open') this.state.raw.cancel(id);
    const text = `the server sent revision ${revision} after newer ones`;
    this.end(id, { reason: 'error', error: this.refusal('refused', text) });
  }

  private notify(id: number, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.deps.log.error(`A watch of etcd was ended because its observer threw: ${String(error)}`);
      if (this.state.name === 'open') this.state.raw.cancel(id);
      this.end(id, { reason: 'error', error: toEtcdRequestError(error, this.context()) });
    }
  }

  /** Ends one watch, and the stream with it if it was the last. */
  private end(id: number, end: WatchEnd): void {
    const watch = this.watches.get(id);
    if (!watch) return;
    this.watches.delete(id);
    if (this.watches.size === 0) this.finish({ reason: 'closed' }, false);
    this.tell(watch, end);
  }

  private finish(end: WatchEnd, broken: boolean): void {
    if (this.state.name === 'closed') return;
    const { state } = this;
    this.state = { name: 'closed' };
    this.cancelHeartbeat?.();
    if (state.name === 'open') state.raw.destroy(broken);
    this.becomeUnusable();
    const watches = [...this.watches.values()];
    this.watches.clear();
    for (const watch of watches) this.tell(watch, end);
    this.deps.onClosed(this);
  }

  private tell(watch: Watch, end: WatchEnd): void {
    try {
      watch.observer.end(end);
    } catch (error) {
      this.deps.log.error(`The observer of an ended watch of etcd threw: ${String(error)}`);
    }
  }

  private becomeUnusable(): void {
    if (!this.usable) return;
    this.usable = false;
    this.deps.onUnusable(this);
  }

  private scheduleHeartbeat(delayMs: number): void {
    const due = this.deps.clock.now() + delayMs;
    this.cancelHeartbeat = this.deps.clock.after(delayMs, () => this.heartbeat(this.deps.clock.now() - due));
  }

  private heartbeat(lateMs: number): void {
    if (this.state.name !== 'open') return;
    const now = this.deps.clock.now();
    const quietMs = now - this.lastByteAt;
    if (lateMs < LATE_MS && this.isSilent(now)) {
      const text = `no sign of life on the watch for ${Math.round(quietMs)} ms`;
      return this.finish({ reason: 'silent', error: this.refusal('unreachable', text) }, true);
    }
    if (quietMs < HEARTBEAT_MS) return this.scheduleHeartbeat(Math.max(1, HEARTBEAT_MS - quietMs));
    this.asked = true;
    this.state.raw.requestProgress();
    this.scheduleHeartbeat(HEARTBEAT_MS);
  }

  private isSilent(now: number): boolean {
    // Not by the clock: a timer may fire a fraction of a millisecond early, and the silence would last a beat longer.
    if (this.asked) return true;
    const oldest = this.unanswered[0];
    const since = oldest === undefined ? undefined : this.watches.get(oldest)?.requestedAt;
    return since !== undefined && now - since >= CREATE_TIMEOUT_MS;
  }

  private refusal(failure: EtcdFailure, text: string): EtcdRequestError {
    return new EtcdRequestError(failure, messageFor(failure, text, this.context()));
  }

  private context(): { operation: string; endpoint: string } {
    return { operation: 'watch', endpoint: this.state.name === 'open' ? this.state.raw.endpoint : 'an endpoint' };
  }
}
