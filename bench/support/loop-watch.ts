/**
 * The longest time in which the event loop of this process ran no timer: a timer of 1 ms is set again and again, and
 * what it comes late is what something else held the loop for (or the machine the process, which a control process that
 * does nothing else tells apart).
 */
export class LoopWatch {
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();
  private longest = 0;

  /** Begins, or begins anew. */
  start(): void {
    clearTimeout(this.timer);
    this.longest = 0;
    this.last = performance.now();
    this.next();
  }

  /** Ends; the longest block since `start`, ms. */
  stop(): number {
    this.look();
    clearTimeout(this.timer);
    this.timer = undefined;
    return this.longest;
  }

  private next(): void {
    this.timer = setTimeout(() => {
      this.look();
      this.next();
    }, 1);
  }

  private look(): void {
    const now = performance.now();
    this.longest = Math.max(this.longest, now - this.last - 1);
    this.last = now;
  }
}
