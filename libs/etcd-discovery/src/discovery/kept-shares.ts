import type { Clock } from '../utils/clock.js';

interface Kept<S> {
  readonly share: S;
  lastUse: number;
  cancelTimer: () => void;
}

/**
 * Shares that are given back some time after their last use, so that a caller who asks again and again has one watch
 * and not one list per question.
 */
export class KeptShares<S extends { release(): void }> {
  private readonly kept = new Map<string, Kept<S>>();

  constructor(
    private readonly clock: Clock,
    private readonly keepMs: number,
  ) {}

  /** The share kept under this key, or else a new one; either way its time begins again. */
  use(key: string, acquire: () => S): S {
    const known = this.kept.get(key);
    if (known) {
      known.lastUse = this.clock.now();
      return known.share;
    }
    const share = acquire();
    const entry: Kept<S> = { share, lastUse: this.clock.now(), cancelTimer: () => {} };
    this.kept.set(key, entry);
    this.watchOver(key, entry, this.keepMs);
    return share;
  }

  /** Gives everything back. */
  close(): void {
    for (const { share, cancelTimer } of this.kept.values()) {
      cancelTimer();
      share.release();
    }
    this.kept.clear();
  }

  private watchOver(key: string, entry: Kept<S>, ms: number): void {
    entry.cancelTimer = this.clock.after(ms, () => {
      const left = entry.lastUse + this.keepMs - this.clock.now();
      // One timer that is set again, instead of one per use.
      if (left > 0) return this.watchOver(key, entry, left);
      this.kept.delete(key);
      entry.share.release();
    });
  }
}
