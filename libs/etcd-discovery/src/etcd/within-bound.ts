import type { Clock } from '../utils/clock.js';

export interface Bound {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A promise with a limit on the waiting; `expired` tells the limit from a failure of what was waited for. */
export interface BoundedPromise<T> extends Promise<T> {
  expired(): boolean;
}

/** Waits for `work`, at most `timeoutMs` and no longer than `signal` allows. The work itself goes on. */
export const withinBound = <T>(work: Promise<T>, { clock, timeoutMs, signal }: Bound): BoundedPromise<T> => {
  let expired = false;
  const promise = new Promise<T>((resolve, reject) => {
    if (signal?.aborted) {
      // Nobody waits for the work any more, so nobody else would catch its failure.
      work.catch(() => undefined);
      return reject(signal.reason as Error);
    }
    const settle = (outcome: () => void) => {
      cancel();
      signal?.removeEventListener('abort', abort);
      outcome();
    };
    const abort = () => settle(() => reject(signal?.reason as Error));
    const cancel = clock.after(timeoutMs, () => {
      expired = true;
      settle(() => reject(new Error(`not within ${timeoutMs} ms`)));
    });
    signal?.addEventListener('abort', abort, { once: true });
    work.then(
      (value) => settle(() => resolve(value)),
      (error: Error) => settle(() => reject(error)),
    );
  });
  return Object.assign(promise, { expired: () => expired });
};
