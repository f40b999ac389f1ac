import type { Clock } from './clock.js';

const TICK_MS = 500;

/**
 * Notices that this process was kept from running: stopped, on a suspended machine, or with a blocked event loop. What
 * happened outside meanwhile was not seen, whatever still looks the same.
 */
export class StallWatch {
  private lastTickAt: number;
  private longest = 0;
  private cancel: () => void;

  constructor(private readonly clock: Clock) {
    this.lastTickAt = clock.now();
    this.cancel = this.tickLater();
  }

  /** The longest time so far in which nothing ran, ms, within half a second. */
  get longestMs(): number {
    return Math.max(this.longest, this.clock.now() - this.lastTickAt - TICK_MS, 0);
  }

  stop(): void {
    this.cancel();
  }

  private tickLater(): () => void {
    return this.clock.after(TICK_MS, () => {
      // Before the tick is noted: after a stall it comes first, before what else was waiting.
      this.longest = this.longestMs;
      this.lastTickAt = this.clock.now();
      this.cancel = this.tickLater();
    });
  }
}
