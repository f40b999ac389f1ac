import type { WatchEnd } from '../etcd/etcd-client.js';
import { EtcdRequestError, isEtcdFailure } from '../etcd/etcd-status.js';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';

/** How a list, or the watch after it, ended. */
export interface AttemptEnd {
  /**
   * `lost`: the connection, so that everybody else is about to come back too. `refused`: etcd answered, but not with
   * what was asked for. `reconcile`: nothing is wrong. `closed`: by us.
   */
  readonly kind: 'lost' | 'refused' | 'reconcile' | 'closed';
  readonly error?: Error;
  /** The next list reads values, however soon it comes. */
  readonly doubtful?: boolean;
  /** The stream under the watch is gone, and for all we know its connection. */
  readonly broke?: boolean;
  /** A compaction was faster than the list or the watch. */
  readonly overtaken?: boolean;
  /**
   * The watch was refused for the token or the permission that its stream was opened with, though its list was allowed:
   * as a rule the token has run out, and the next stream has a new one.
   */
  readonly staleToken?: boolean;
}

export const RECONCILE: AttemptEnd = { kind: 'reconcile', doubtful: true };

/** The watch was accepted by an etcd that may not be the one that was listed: restored, or lagging behind. */
export const behindTheList = (): AttemptEnd => ({
  kind: 'refused',
  doubtful: true,
  error: new Error('the watch is not that of the etcd that was listed: it was restored, or a member lags behind'),
});

/** What a rejected request means. */
export const endOf = (error: unknown): AttemptEnd => {
  const cause = error instanceof Error ? error : new Error(String(error));
  if (isEtcdFailure(cause, 'unreachable', 'tls')) return { kind: 'lost', error: cause };
  if (cause instanceof EtcdDiscoveryError && cause.code === 'CLOSED') return { kind: 'closed', error: cause };
  return { kind: 'refused', error: cause, overtaken: isEtcdFailure(cause, 'compacted') };
};

/** What the end of a watch means. */
export const endOfWatch = ({ reason, error, compactRevision }: WatchEnd): AttemptEnd => {
  const refusal = error instanceof EtcdRequestError && !isEtcdFailure(error, 'unreachable', 'tls');
  switch (reason) {
    case 'closed':
      return { kind: 'closed', error: error ?? new Error('the client of etcd was closed') };
    case 'silent':
      return { kind: 'lost', doubtful: true, error: error ?? new Error('etcd went silent') };
    case 'error':
      return { kind: refusal ? 'refused' : 'lost', broke: true, error: error ?? new Error('the watch broke') };
    case 'canceled':
      return {
        kind: 'refused',
        error: error ?? new Error('etcd cancelled the watch'),
        staleToken: isEtcdFailure(error, 'auth', 'permission-denied'),
      };
    default: {
      const words = `compacted at revision ${compactRevision ?? 'unknown'}`;
      return { kind: 'refused', overtaken: true, error: error ?? new Error(words) };
    }
  }
};
