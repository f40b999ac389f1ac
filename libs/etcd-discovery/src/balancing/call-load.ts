/** Time in which the average forgets: after this long without calls, one new call outweighs all before it. */
const EWMA_TIME_MS = 5_000;

/** Longer than this is a stream, not the latency of a call. */
const LONGEST_SAMPLE_MS = 30_000;

/**
 * What one client counts for one instance: calls in flight, picks, and a moving average of the latency whose weight
 * follows time rather than the number of calls (as in Finagle's peak EWMA), so that it is as fresh at 1 call/s as at 1,000.
 *
 * It averages logarithms. Latencies have a heavy tail (p50 4 ms, p99 60 ms on a busy machine), in which a plain mean
 * sees factors of two between equals, and remembers a slow first call for three times as long.
 */
export class CallLoad {
  inFlight = 0;
  picks = 0;
  /** Geometric moving average; 0 while nothing is known. */
  ewmaMs = 0;
  private logMs = 0;
  private updatedAt = 0;

  start(): void {
    this.inFlight++;
  }

  /** @param latencyMs undefined where the answer says nothing about the instance's pace (refused, cancelled) */
  end(now: number, latencyMs: number | undefined): void {
    this.inFlight--;
    if (latencyMs === undefined || latencyMs > LONGEST_SAMPLE_MS) return;
    // At least a hair above 0, which stands for "nothing known".
    const sample = Math.max(latencyMs, 0.001);
    const log = Math.log(sample);
    if (this.ewmaMs === 0) this.logMs = log;
    else this.logMs += (log - this.logMs) * (1 - Math.exp((this.updatedAt - now) / EWMA_TIME_MS));
    this.ewmaMs = Math.exp(this.logMs);
    this.updatedAt = now;
  }

  /** Another process answers at this address now. */
  forgetLatency(): void {
    this.ewmaMs = 0;
  }
}
