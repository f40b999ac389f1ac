import type { WatchHealth } from '../catalog/service-catalog.js';
import { ServiceUnavailableError } from '../etcd-discovery.errors.js';
import { abortedError } from '../utils/abort.js';
import type { Clock } from '../utils/clock.js';
import { saidByEtcd } from './said-by-etcd.js';

interface Listable<T> {
  readonly health: WatchHealth;
  onHealth(listener: (health: WatchHealth) => void): () => void;
  ready(signal?: AbortSignal): Promise<T>;
}

/**
 * The first list of a share. Rejects with ServiceUnavailableError as soon as etcd refuses, and after `timeoutMs` when
 * it is silent (promise P2); with what `signal` says when that aborts.
 */
export const firstList = async <T>(
  share: Listable<T>,
  { what, timeoutMs, clock, signal }: { what: string; timeoutMs: number; clock: Clock; signal: AbortSignal },
): Promise<T> => {
  const stop = new AbortController();
  const unavailable = (text: string) =>
    stop.abort(
      new ServiceUnavailableError(`${what} ${text}: ${saidByEtcd(share.health)}`, { cause: share.health.error }),
    );
  const failWhenRefused = () => {
    const { state, error } = share.health;
    if (state === 'pending' && error) unavailable('cannot be listed');
  };
  const onAbort = () => stop.abort(abortedError(`listing ${what}`, signal));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  const cancelTimer = clock.after(timeoutMs, () => unavailable(`was not listed within ${timeoutMs} ms`));
  // Before the look at the health: a list that is there already counts, whatever became of etcd since.
  const ready = share.ready(stop.signal);
  const offHealth = share.onHealth(failWhenRefused);
  failWhenRefused();
  try {
    return await ready;
  } finally {
    offHealth();
    cancelTimer();
    signal.removeEventListener('abort', onAbort);
  }
};
