import type { VirtualClock } from './virtual-clock.js';

export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** Some cores that work off what is given to them, first come first served. */
export class SimulatedMachine {
  /** When each core will have done what it has. */
  private readonly freeAt: number[];

  constructor(
    private readonly clock: VirtualClock,
    /** Infinity: everybody has a machine of their own, and nobody waits for another. */
    private readonly cores: number,
  ) {
    this.freeAt = Number.isFinite(cores) ? Array.from({ length: cores }, () => 0) : [];
  }

  /** Resolves when `ms` of work are done, with the time in which they were. */
  work(ms: number): Promise<Interval> {
    const now = this.clock.now();
    let from = now;
    if (Number.isFinite(this.cores)) {
      const core = this.freeAt.indexOf(Math.min(...this.freeAt));
      from = Math.max(now, this.freeAt[core]!);
      this.freeAt[core] = from + ms;
    }
    const interval = { from, to: from + ms };
    return new Promise((resolve) => this.clock.after(interval.to - now, () => resolve(interval)));
  }
}
