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
  /** Granted after an outage in which its predecessor was lost: everybody else got theirs at that time, too. */
  readonly crowded: boolean;
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

/**
 * How long a grant or a put waits for its answer, ms. In the crowd that follows an outage as long as a patient renewal:
 * whoever gives up there has to dial anew, which costs etcd and this process more than the answer, and a grant given up
 * leaves a lease that nobody holds.
 */
export const writeReplyMs = (ttlSeconds: number, crowded: boolean): number =>
  crowded ? Math.max(MAX_REPLY_MS, (ttlSeconds * 1_000) / 3) : MAX_REPLY_MS;
