import { ageOf } from '../catalog/last-known.js';
import type { ServiceSnapshot, WatchHealth } from '../catalog/service-catalog.js';

/** What etcd said last and when, in words for an error message; `listed` once a list is at hand. */
export const saidByEtcd = ({ state, error, since }: WatchHealth, listed = false): string => {
  const when = since.toISOString();
  // Between the first list and the watch from it, there is an answer but no watch yet.
  if (state === 'pending' && !error && listed) return 'etcd has just answered';
  if (state === 'live') return `etcd answers, watched since ${when}`;
  if (state === 'stale') {
    return `etcd is away since ${when}${error ? `: ${error.message}` : ''}; the last known state is in use`;
  }
  return error ? `etcd refused at ${when}: ${error.message}` : `etcd has not answered since ${when}`;
};

/** How many instances are known, and of when. */
export const knownInstances = (service: string, snapshot: ServiceSnapshot | undefined): string => {
  if (!snapshot) return `nothing is known of service "${service}" yet`;
  const { length } = snapshot.instances;
  const count = length === 0 ? 'no live instance' : length === 1 ? '1 live instance' : `${length} live instances`;
  const { revision, standIn } = snapshot;
  if (standIn) return `service "${service}" has ${count} left of the snapshot ${standIn.file}, ${ageOf(standIn.asOf)}`;
  return `service "${service}" has ${count}${revision > 0 ? ` at etcd revision ${revision}` : ''}`;
};
