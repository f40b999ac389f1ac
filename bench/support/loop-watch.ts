/**
 * The longest time in which the event loop of this process ran no timer: a timer of 1 ms is set again and again, and
 * what it comes late is what something else held the loop for (or the machine the process, which a control process that
 * does nothing else tells apart).
 */
export class LoopWatch {
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();
  private lastCpu = process.cpuUsage();
  private longest = 0;
  private longestOwn = 0;

  /** Begins, or begins anew. */
  start(): void {
    clearTimeout(this.timer);
    this.longest = 0;
    this.longestOwn = 0;
    this.last = performance.now();
    this.lastCpu = process.cpuUsage();
    this.next();
  }

  /** Ends; the longest block since `start`, ms. */
  stop(): number {
    this.look();
    clearTimeout(this.timer);
    this.timer = undefined;
    return this.longest;
  }

  /**
   * Of one block, the most that this process itself was at work, ms: where others want the cores too, a busy process
   * waits for its turn longer than an idle control does, and that is no fault of its own. The work of its other threads
   * counts as its own.
   */
  get ownMs(): number {
    return this.longestOwn;
  }

  private next(): void {
    this.timer = setTimeout(() => {
      this.look();
      this.next();
    }, 1);
  }

  private look(): void {
    const now = performance.now();
    const block = now - this.last - 1;
    const { user, system } = process.cpuUsage(this.lastCpu);
    this.longest = Math.max(this.longest, block);
    this.longestOwn = Math.max(this.longestOwn, Math.min(block, (user + system) / 1_000));
    this.last = now;
    this.lastCpu = process.cpuUsage();
  }
}
