import { leaseHex } from './lease.js';
import type { KeySighting } from './own-key.watch.js';

/** How our key stands in etcd, as of `revision`. */
export interface Standing {
  readonly revision: number;
  readonly modRevision: number;
  readonly lease: string;
  readonly value: string;
}

/**
 * What a sighting of the key makes of our standing: a newer one, or the reason why the key is lost.
 * @param epoch of our own writes, now
 * @param owns is that a lease of this process?
 */
export const judge = (
  standing: Standing,
  sighting: KeySighting,
  epoch: number,
  owns: (lease: string) => boolean,
): Standing | string => {
  const { found, revision } = sighting;
  // Older news than ours, except from a list asked for since our last write: then etcd itself has gone back.
  const restored = sighting.source === 'list' && sighting.epoch === epoch;
  if (revision <= standing.revision && !restored) return standing;
  if (!found) return 'the key is gone: deleted by somebody, or with its lease';
  if (!owns(found.lease)) return `overwritten under lease ${leaseHex(found.lease)} by somebody else`;
  const value = found.value.toString();
  if (value !== standing.value) return 'the value was overwritten by somebody else';
  return { revision, modRevision: found.modRevision, lease: found.lease, value };
};
