import type { Random } from './clock.js';

export interface BackoffOptions {
  /** Upper bound of the first delay, ms. */
  initialMs: number;
  /** Upper bound of every later delay, ms. */
  maxMs: number;
}

/**
 * Exponential backoff with full jitter: the n-th delay is uniform in [0, min(max, initial·2ⁿ)), so that a crowd that
 * failed together does not return together (AWS Architecture Blog, "Exponential Backoff And Jitter").
 */
export class Backoff {
  private attempt = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: Random = Math.random,
  ) {}

  nextDelayMs(): number {
    const bound = Math.min(this.options.maxMs, this.options.initialMs * 2 ** this.attempt);
    this.attempt = Math.min(this.attempt + 1, 30);
    return bound * this.random();
  }

  reset(): void {
    this.attempt = 0;
  }
}
