import type { EtcdClient } from '../etcd/etcd-client.js';
import { isEtcdFailure } from '../etcd/etcd-status.js';
import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { leaseHex } from './lease.js';
import { messageOf } from '../utils/message-of.js';
import { settledWithin } from './within.js';

/** Revokes a lease within `timeoutMs`. Never rejects: one that cannot be revoked ends by itself, and is warned of. */
export async function revokeLease(
  { etcd, clock, log }: { etcd: EtcdClient; clock: Clock; log: Log },
  id: string,
  timeoutMs: number,
): Promise<void> {
  const call = etcd.revokeLease(id, { timeoutMs }).catch((error: unknown) => {
    if (isEtcdFailure(error, 'lease-not-found')) return;
    log.warn(`The lease ${leaseHex(id)} could not be revoked (${messageOf(error)}); it ends by itself within its TTL.`);
  });
  // The port keeps deadlines; this bound holds even if it does not.
  await settledWithin(clock, call, timeoutMs + 100);
}
