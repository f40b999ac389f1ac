import type { Clock } from '../utils/clock.js';

/** Time in which the average forgets: after this long without calls, one new call outweighs all before it. */
const EWMA_TIME_MS = 5_000;

/**
 * So many calls are averaged by number before time takes over: the first call of a process is slow, and at 1,000 calls/s
 * an average over seconds would hold it against the instance for all of the first thousand.
 */
const WARM_UP_CALLS = 16;

/**
 * A call of this age is a stream, or hangs. A stream that stays open for hours says nothing of how busy its instance is,
 * nor does its length; counted like a call, it would keep every other call away from the instance at low load.
 */
const LONG_CALL_MS = 5_000;

/** One call, from its start to its end. */
export interface CallInFlight {
  readonly startedAt: number;
}

/**
 * What one client counts for one instance: calls in flight, picks, and a moving average of the latency whose weight
 * follows time rather than the number of calls (as in Finagle's peak EWMA), so that it is as fresh at 1 call/s as at 1,000.
 *
 * It averages logarithms. Latencies have a heavy tail (p50 4 ms, p99 60 ms on a busy machine), in which a plain mean
 * sees factors of two between equals, and remembers a slow first call for three times as long.
 */
export class CallLoad {
  /** All calls and streams. */
  inFlight = 0;
  picks = 0;
  /** Geometric moving average; 0 while nothing is known. */
  ewmaMs = 0;
  /** Calls younger than `LONG_CALL_MS`, oldest first. */
  private readonly recent = new Set<CallInFlight>();
  private cancelAging: (() => void) | undefined;
  private closed = false;
  private logMs = 0;
  private samples = 0;
  private updatedAt = 0;

  constructor(private readonly clock: Clock) {}

  /** Calls in flight that say how busy the instance is: those that began within the last 5 s. */
  get recentInFlight(): number {
    return this.recent.size;
  }

  start(): CallInFlight {
    const call = { startedAt: this.clock.now() };
    this.inFlight++;
    this.recent.add(call);
    this.age();
    return call;
  }

  /** @param tellsLatency false where the answer says nothing about the instance's pace (refused, cancelled) */
  end(call: CallInFlight, tellsLatency: boolean): void {
    this.inFlight--;
    const now = this.clock.now();
    const latencyMs = now - call.startedAt;
    if (!this.recent.delete(call) || !tellsLatency || latencyMs >= LONG_CALL_MS) return;
    // At least a hair above 0, which stands for "nothing known".
    const log = Math.log(Math.max(latencyMs, 0.001));
    const byTime = 1 - Math.exp((this.updatedAt - now) / EWMA_TIME_MS);
    if (this.samples < WARM_UP_CALLS) this.samples++;
    const weight = this.samples < WARM_UP_CALLS ? Math.max(1 / this.samples, byTime) : byTime;
    this.logMs += (log - this.logMs) * weight;
    this.ewmaMs = Math.exp(this.logMs);
    this.updatedAt = now;
  }

  /** No timer is left afterwards. Calls in flight may still end. */
  close(): void {
    this.closed = true;
    this.cancelAging?.();
  }

  /** Another process answers at this address now. */
  forgetLatency(): void {
    this.ewmaMs = 0;
    this.samples = 0;
  }

  /** One timer for all calls: set for the oldest, and again for the oldest that is left. */
  private age(): void {
    const [oldest] = this.recent;
    if (!oldest || this.cancelAging || this.closed) return;
    this.cancelAging = this.clock.after(Math.max(0, oldest.startedAt + LONG_CALL_MS - this.clock.now()), () => {
      this.cancelAging = undefined;
      const now = this.clock.now();
      for (const call of this.recent) {
        if (now - call.startedAt < LONG_CALL_MS) break;
        this.recent.delete(call);
      }
      this.age();
    });
  }
}
