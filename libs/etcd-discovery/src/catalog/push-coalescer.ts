import type { Clock } from '../utils/clock.js';

/** At most ten pushes a second: more only make every channel of the process re-read the list. */
const WINDOW_MS = 100;

/**
 * Decides when changes are pushed to users: at once after 100 ms of quiet, so that one change is seen without delay,
 * otherwise when 100 ms have passed since the last push.
 */
export class PushCoalescer {
  private lastPush = Number.NEGATIVE_INFINITY;
  private cancelTimer: (() => void) | undefined;

  /** `push` may be called from within `changed()`. */
  constructor(
    private readonly clock: Clock,
    private readonly push: () => void,
  ) {}

  /** Something changed. */
  changed(): void {
    if (this.cancelTimer) return;
    const wait = this.lastPush + WINDOW_MS - this.clock.now();
    if (wait <= 0) return this.pushNow();
    // Node cuts off what is below a millisecond, and would be early.
    this.cancelTimer = this.clock.after(Math.ceil(wait), () => this.pushNow());
  }

  /** Somebody pushed without being asked; what was waiting went with it. */
  pushed(): void {
    this.cancel();
    this.lastPush = this.clock.now();
  }

  /** Forgets what is waiting to be pushed. */
  cancel(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  private pushNow(): void {
    this.pushed();
    this.push();
  }
}
