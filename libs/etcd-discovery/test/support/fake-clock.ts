import type { Clock } from '../../src/utils/clock.js';

interface Timer {
  readonly at: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

/** Time that stands still until a test turns it. Timers of the same moment fire in the order they were set. */
export class FakeClock implements Clock {
  private time = 0;
  private order = 0;
  private live = 0;
  /** A heap, the next one first; cancelled ones stay in it until their time comes. */
  private readonly timers: Timer[] = [];

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.live;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.time + Math.max(0, ms), order: this.order++, fn };
    this.push(timer);
    this.live += 1;
    return () => void this.take(timer);
  }

  /** Fires what falls due within `ms`, each at its own moment, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const target = this.time + ms;
    await settle();
    for (let next = this.timers[0]; next && next.at <= target; next = this.timers[0]) {
      this.pop();
      const fn = this.take(next);
      if (!fn) continue;
      this.time = next.at;
      fn();
      await settle();
    }
    this.time = target;
  }

  /** What the timer was set for, once; undefined when it has fired or was cancelled. */
  private take(timer: Timer): (() => void) | undefined {
    const { fn } = timer;
    timer.fn = undefined;
    if (fn) this.live -= 1;
    return fn;
  }

  private push(timer: Timer): void {
    const { timers } = this;
    let at = timers.push(timer) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && isBefore(timer, timers[parent]!); parent = (at - 1) >> 1) {
      timers[at] = timers[parent]!;
      at = parent;
    }
    timers[at] = timer;
  }

  private pop(): void {
    const { timers } = this;
    const last = timers.pop();
    if (!last || timers.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= timers.length) break;
      if (child + 1 < timers.length && isBefore(timers[child + 1]!, timers[child]!)) child += 1;
      if (!isBefore(timers[child]!, last)) break;
      timers[at] = timers[child]!;
      at = child;
    }
    timers[at] = last;
  }
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Lets everything run that waits for nothing but promises. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A repeatable source of numbers in [0, 1): mulberry32. */
export const seededRandom = (seed: number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
};
