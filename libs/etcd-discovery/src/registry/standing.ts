import { leaseHex } from './lease.js';
import type { KeySighting } from './own-key.watch.js';

/** How our key stands in etcd, as of `revision`. */
export interface Standing {
  readonly revision: number;
  readonly modRevision: number;
  readonly lease: string;
  readonly value: string;
}

/** How our key was lost. */
export interface Loss {
  /** `gone`: the key is absent; `changed`: somebody else's value stands there; `lease`: nobody can rely on the lease. */
  readonly how: 'gone' | 'changed' | 'lease';
  readonly reason: string;
  /** The revision that took the key away; unknown when it went during a break of the watch. */
  readonly deletedAt?: number;
}

export const isLoss = (seen: Standing | Loss): seen is Loss => 'how' in seen;

/**
 * What a sighting of the key makes of our standing: a newer one, or the loss of the key.
 * @param epoch of our own writes, now
 * @param owns is that a lease of this process?
 */
export const judge = (
  standing: Standing,
  sighting: KeySighting,
  epoch: number,
  owns: (lease: string) => boolean,
): Standing | Loss => {
  const { found, revision, source } = sighting;
  // Older news than ours, except from a list asked for since our last write: then etcd itself has gone back.
  const restored = source === 'list' && sighting.epoch === epoch;
  if (revision <= standing.revision && !restored) return standing;
  if (!found) {
    const reason = 'the key is gone: deleted by somebody, or with its lease';
    return { how: 'gone', reason, ...(source === 'event' && { deletedAt: revision }) };
  }
  if (!owns(found.lease))
    return { how: 'changed', reason: `overwritten under lease ${leaseHex(found.lease)} by somebody else` };
  const value = found.value.toString();
  if (value !== standing.value) return { how: 'changed', reason: 'the value was overwritten by somebody else' };
  return { revision, modRevision: found.modRevision, lease: found.lease, value };
};
