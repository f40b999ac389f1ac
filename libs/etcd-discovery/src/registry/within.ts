import type { Clock } from '../utils/clock.js';

/**
 * Waits for `promise` at most `ms`: true when it settled, false when time ran out first. Never rejects; a late failure
 * is swallowed. For ends that must come whatever etcd does.
 */
export const settledWithin = (clock: Clock, promise: Promise<unknown>, ms: number): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = clock.after(Math.max(0, ms), () => resolve(false));
    const settled = () => {
      cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
