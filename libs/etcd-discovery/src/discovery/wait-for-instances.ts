import type { ServiceSubscription } from '../catalog/service-catalog.js';
import { waitUntil } from '../catalog/wait-until.js';
import { DiscoveryTimeoutError } from '../etcd-discovery.errors.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import type { Clock } from '../utils/clock.js';
import { saidByEtcd } from './said-by-etcd.js';

/**
 * Resolves with the instances that are not suspect as soon as there are `minInstances` of them. Rejects with
 * DiscoveryTimeoutError, which says what was missing, or with what one of the signals says.
 */
export const waitForInstances = async (
  share: ServiceSubscription,
  options: {
    readonly minInstances: number;
    readonly timeoutMs: number;
    readonly clock: Clock;
    readonly signals: readonly (AbortSignal | undefined)[];
  },
): Promise<ServiceInstance[]> => {
  const { minInstances, timeoutMs, clock, signals } = options;
  const timeout = new AbortController();
  const counted = () => (share.snapshot?.instances ?? []).filter(({ suspect }) => !suspect);
  const cancelTimer = clock.after(timeoutMs, () => {
    const have = `${counted().length} of ${minInstances} ${minInstances === 1 ? 'instance' : 'instances'}`;
    const message = `service "${share.service}" has ${have} after ${timeoutMs} ms; ${saidByEtcd(share.health)}`;
    timeout.abort(new DiscoveryTimeoutError(message, { cause: share.health.error }));
  });
  try {
    await waitUntil(
      `waiting for service "${share.service}"`,
      () => share.snapshot !== undefined && counted().length >= minInstances,
      (notify) => share.onChange(notify),
      [...signals, timeout.signal],
    );
    return counted();
  } finally {
    cancelTimer();
  }
};
