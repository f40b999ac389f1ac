import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import type { ConnectivityGate, GateState } from './etcd-client.js';
import { isEtcdFailure } from './etcd-status.js';

/** First attempt within U(0, 100 ms); from start to start then 200 ms, 400 ms, 800 ms, 1 s, plus up to half of it. */
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 1_000;

/** A gate that was open for less than this goes on with the backoff it had, or a flapping etcd is dialled in a loop. */
const STABLE_AFTER_MS = 5_000;

export interface ProbingGateDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * One cheap request to etcd, bounded by itself. It resolves, or rejects with what etcd answered; the gate stays
   * closed only for `unreachable`, `auth` and `tls`, since any other answer comes from an etcd that works.
   */
  readonly probe: () => Promise<unknown>;
}

/**
 * The one place that decides when etcd is tried again. It starts open; a failure to reach etcd (`trip`) closes it, and
 * from then on only its own probes go out, one at a time, until one is answered. They never stop before `dispose()`.
 */
export class ProbingGate implements ConnectivityGate {
  private current: GateState = { open: true, since: new Date() };
  private readonly listeners = new Set<(state: GateState) => void>();
  private readonly waiters = new Set<() => void>();
  private cancelTimer: (() => void) | undefined;
  private attempt = 0;
  private changedAt: number;
  private disposed = false;

  constructor(private readonly deps: ProbingGateDeps) {
    this.changedAt = deps.clock.now();
  }

  get state(): GateState {
    return this.current;
  }

  /** Closes the gate because of `error`; while it is closed already, the newer reason is kept. */
  trip(error: Error): void {
    if (this.disposed) return;
    if (!this.current.open) return this.keepReason(error);
    const { clock, log } = this.deps;
    if (clock.now() - this.changedAt >= STABLE_AFTER_MS) this.attempt = 0;
    log.warn(`${error.message}; trying again until it answers`);
    this.change({ open: false, error, since: new Date() });
    this.schedule(0);
  }

  whenOpen(signal?: AbortSignal): Promise<void> {
    if (this.current.open || this.disposed || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.waiters.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.waiters.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  onChange(listener: (state: GateState) => void): () => void {
    // A wrapper of its own, so that one function subscribed twice is two subscriptions.
    const entry = (state: GateState) => listener(state);
    this.listeners.add(entry);
    return () => this.listeners.delete(entry);
  }

  /** Stops probing for good and lets everyone who waits go on: their next request says that the client is closed. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.cancelTimer?.();
    this.listeners.clear();
    this.releaseWaiters();
  }

  /** `spentMs`: what the last attempt took; one that waited in vain for an answer has waited long enough. */
  private schedule(spentMs: number): void {
    const { clock, random } = this.deps;
    const bound = Math.min(FIRST_DELAY_MS * 2 ** this.attempt, MAX_DELAY_MS);
    const delay = this.attempt === 0 ? bound * random() : bound + (bound / 2) * random();
    this.attempt = Math.min(this.attempt + 1, 10);
    this.cancelTimer = clock.after(Math.max(delay - spentMs, FIRST_DELAY_MS * random()), () => void this.probe());
  }

  private async probe(): Promise<void> {
    const started = this.deps.clock.now();
    try {
      await this.deps.probe();
    } catch (error) {
      if (this.disposed) return;
      if (isEtcdFailure(error, 'unreachable', 'auth', 'tls')) {
        this.keepReason(error as Error);
        return this.schedule(this.deps.clock.now() - started);
      }
    }
    if (!this.disposed) this.open();
  }

  private open(): void {
    const seconds = ((this.deps.clock.now() - this.changedAt) / 1000).toFixed(1);
    this.deps.log.log(`etcd answers again after ${seconds} s`);
    this.change({ open: true, since: new Date() });
    this.releaseWaiters();
  }

  private keepReason(error: Error): void {
    const previous = this.current.error;
    const next: GateState = { ...this.current, error };
    if (failureOf(previous) === failureOf(error)) {
      this.current = next;
      return;
    }
    this.deps.log.warn(error.message);
    this.publish(next);
  }

  private change(state: GateState): void {
    this.changedAt = this.deps.clock.now();
    this.publish(state);
  }

  private publish(state: GateState): void {
    this.current = state;
    for (const listener of this.listeners) {
      try {
        listener(state);
      } catch (error) {
        this.deps.log.error(`A listener of the etcd connection threw: ${String(error)}`);
      }
    }
  }

  private releaseWaiters(): void {
    for (const release of this.waiters) release();
  }
}

const failureOf = (error: unknown): unknown => (error as { failure?: unknown } | undefined)?.failure;
