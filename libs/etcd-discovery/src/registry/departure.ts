import type { Clock } from '../utils/clock.js';

/** Leaving takes at most this long, whatever etcd does, ms … */
const LEAVE_MS = 4_000;
/** … of which a put that was in flight gets so much. */
const LEAVE_GRACE_MS = 1_000;

/** The signals and the deadline of one registration's leaving. */
export class Departure {
  /** Monotonic time by which it is over; infinite before `begin()`. */
  deadline = Infinity;
  private readonly leaving = new AbortController();
  private readonly abandoning = new AbortController();
  private cancelAbandon?: () => void;

  constructor(private readonly clock: Clock) {}

  /** Ends every wait. */
  get signal(): AbortSignal {
    return this.leaving.signal;
  }

  /** Ends what is in flight, a second later. */
  get abandon(): AbortSignal {
    return this.abandoning.signal;
  }

  get begun(): boolean {
    return this.leaving.signal.aborted;
  }

  begin(): void {
    this.deadline = this.clock.now() + LEAVE_MS;
    this.cancelAbandon = this.clock.after(LEAVE_GRACE_MS, () => this.abandoning.abort());
    this.leaving.abort();
  }

  /** Releases the timer. */
  end(): void {
    this.cancelAbandon?.();
  }
}
