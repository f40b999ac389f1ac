const STEP_MS = 20;

/**
 * How long this process was kept from running, as a busy machine does: what is promised in time is promised to a process
 * that gets its share of it.
 */
export class Stalls {
  private total = 0;
  private last = performance.now();
  private readonly timer = setInterval(() => this.look(), STEP_MS);

  /** ms since the beginning. */
  get ms(): number {
    this.look();
    return this.total;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const now = performance.now();
    const late = now - this.last - STEP_MS;
    // A timer that comes in the next millisecond is not late.
    if (late > 1) this.total += late;
    this.last = now;
  }
}
