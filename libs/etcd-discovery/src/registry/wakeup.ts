import type { Clock } from '../utils/clock.js';

/**
 * Lets one loop sleep until something it looks at may have changed. Level-triggered: a signal that comes while the loop
 * is busy is kept, so that no change falls between a look and the sleep after it.
 */
export class Wakeup {
  private signalled = false;
  private resume?: () => void;

  constructor(private readonly clock: Clock) {}

  signal(): void {
    if (this.resume) this.resume();
    else this.signalled = true;
  }

  /** Resolves at the next (or a kept) signal, or after `ms` if given. One waiter at a time. */
  wait(ms?: number): Promise<void> {
    if (this.signalled) {
      this.signalled = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const cancel = ms === undefined ? undefined : this.clock.after(ms, () => this.resume?.());
      this.resume = () => {
        cancel?.();
        this.resume = undefined;
        resolve();
      };
    });
  }
}
