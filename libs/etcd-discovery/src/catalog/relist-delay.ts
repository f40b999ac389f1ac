import type { Random } from '../utils/clock.js';
import type { AttemptEnd } from './attempt-end.js';

/** Clients that lost their connection together spread their lists over this much (promise P13). */
const SPREAD_MS = 1_500;
/** A list that nobody else is about to send too: U(0, 100 ms), then U(0, 200 ms), … up to the spread. */
const FIRST_MS = 100;
/** From the sixth attempt in a row on, there is at most one list per second, whatever goes wrong. */
const QUICK_ATTEMPTS = 5;
const SUSTAINED_MS = 1_000;

/** How long to wait before the next list. */
export class RelistDelay {
  private attempts = 0;

  constructor(private readonly random: Random) {}

  /** Milliseconds; `last` is how the attempt before ended, undefined before the first. */
  next(last: AttemptEnd['kind'] | undefined, hasCache: boolean): number {
    if (last === undefined || last === 'reconcile') return 0;
    const attempt = this.attempts++;
    if (attempt >= QUICK_ATTEMPTS) return SUSTAINED_MS + (SPREAD_MS - SUSTAINED_MS) * this.random();
    // With a cache in hand nobody waits for us. Without one, calls do.
    if (last === 'lost' && hasCache) return SPREAD_MS * this.random();
    return Math.min(SPREAD_MS, FIRST_MS * 2 ** attempt) * this.random();
  }

  /** A watch has lived for a while: the next failure is a new story. */
  reset(): void {
    this.attempts = 0;
  }
}
