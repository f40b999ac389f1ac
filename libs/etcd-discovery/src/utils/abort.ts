import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { Clock } from './clock.js';

/** The error every wait of this library rejects with when its signal fires; the signal's reason is the cause. */
export const abortedError = (what: string, signal: AbortSignal): EtcdDiscoveryError =>
  signal.reason instanceof EtcdDiscoveryError
    ? signal.reason
    : new EtcdDiscoveryError('ABORTED', `${what} was aborted`, { cause: signal.reason });

/** Resolves after `ms`, or as soon as `signal` aborts (never rejects: loops look at the signal themselves). */
export const sleep = (clock: Clock, ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
  });
