/** Longest wait for the answer to one request, ms; the etcd port's own default. */
export const MAX_REPLY_MS = 2_000;

/** One lease, as granted. */
export interface Lease {
  /** Decimal, as the etcd port has it. */
  readonly id: string;
  /** As granted, which may be more than was asked for. */
  readonly ttlSeconds: number;
  /** Grows with every lease of the session. What was begun under an older one says nothing about this one. */
  readonly generation: number;
}

export type LeaseSessionState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'granting' }
  /** `overdue`: not confirmed for a whole TTL. It may be gone; only etcd can tell. */
  | { readonly kind: 'held'; readonly lease: Lease; readonly overdue: boolean }
  | { readonly kind: 'closed' };

export type LeaseEvent =
  | { readonly type: 'granted'; readonly lease: Lease }
  | { readonly type: 'renewed'; readonly lease: Lease }
  | { readonly type: 'overdue'; readonly lease: Lease }
  | { readonly type: 'lost'; readonly lease: Lease; readonly reason: string }
  /** A request failed; `trouble` says why. */
  | { readonly type: 'failed' };

/** As `etcdctl lease list` prints it. */
export const leaseHex = (id: string): string => BigInt(id).toString(16).padStart(16, '0');

/**
 * How long one renewal waits for its answer before the next endpoint is tried, ms: two failovers fit into the TTL
 * (T/3 + T/5 + T/5 < T).
 */
export const tightReplyMs = (lease: Lease): number => Math.min(MAX_REPLY_MS, (lease.ttlSeconds * 1_000) / 5);
