import { abortedError } from '../utils/abort.js';

/**
 * Resolves once `isDone`, which is looked at whenever `notify` is called; rejects when either signal aborts. Leaves no
 * listener behind.
 */
export const waitUntil = (
  what: string,
  isDone: () => boolean,
  subscribe: (notify: () => void) => () => void,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> =>
  new Promise((resolve, reject) => {
    const aborted = signals.find((signal) => signal?.aborted);
    if (aborted) return reject(abortedError(what, aborted));
    if (isDone()) return resolve();
    const stop = () => {
      unsubscribe();
      for (const signal of signals) signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (event: Event) => {
      stop();
      reject(abortedError(what, event.target as AbortSignal));
    };
    const unsubscribe = subscribe(() => {
      if (!isDone()) return;
      stop();
      resolve();
    });
    for (const signal of signals) signal?.addEventListener('abort', onAbort, { once: true });
  });
