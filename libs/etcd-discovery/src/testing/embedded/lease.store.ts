import type { Clock } from '../../utils/clock.js';
import { etcdErrors } from './etcd.errors.js';
import type { LeaseBook } from './mvcc.store.js';

/** etcd with its default election settings grants no shorter lease, seconds (1.5 × election timeout, rounded up). */
export const MIN_LEASE_TTL_SECONDS = 2;
/** `MaxLeaseTTL` of etcd, seconds. */
const MAX_LEASE_TTL_SECONDS = 9_000_000_000;
/** The longest delay a Node timer takes, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Lease {
  /** Decimal. */
  readonly id: string;
  /** As granted, seconds. */
  readonly ttl: number;
  /** When it ends, by the clock of the store. */
  deadline: number;
  /** Keys as `keyText`. */
  readonly keys: Set<string>;
  cancelTimer: () => void;
}

/**
 * Leases, their keys and their ends. Knows nothing of the key space: what a lease takes with it is deleted by
 * `onRevoke`, which is called after the lease itself is gone.
 */
export class LeaseStore implements LeaseBook {
  private readonly leases = new Map<string, Lease>();
  private ticking = true;

  constructor(
    private readonly clock: Clock,
    private readonly onRevoke: (keys: readonly string[]) => void,
  ) {}

  get(id: string): Lease | undefined {
    return this.leases.get(id);
  }

  /** The lease that ends first comes first. */
  list(): readonly Lease[] {
    return [...this.leases.values()].sort((a, b) => a.deadline - b.deadline);
  }

  /** Milliseconds until the lease ends. */
  remainingMs(lease: Lease): number {
    return lease.deadline - this.clock.now();
  }

  /** @throws EtcdStatusError when the id is taken or the TTL is beyond etcd's maximum. */
  grant(id: string, ttlSeconds: number): Lease {
    if (ttlSeconds > MAX_LEASE_TTL_SECONDS) throw etcdErrors.leaseTtlTooLarge();
    if (this.leases.has(id)) throw etcdErrors.leaseExists();
    const ttl = Math.max(MIN_LEASE_TTL_SECONDS, ttlSeconds);
    const lease: Lease = { id, ttl, deadline: 0, keys: new Set(), cancelTimer: () => {} };
    this.leases.set(id, lease);
    this.refresh(lease);
    if (this.ticking) this.arm(lease);
    return lease;
  }

  /** Renews for the full TTL; undefined when there is no such lease. */
  renew(id: string): Lease | undefined {
    const lease = this.leases.get(id);
    // The timer stays: when it fires it finds the later deadline and sets itself again.
    if (lease) this.refresh(lease);
    return lease;
  }

  /** @throws EtcdStatusError NOT_FOUND */
  revoke(id: string): void {
    const lease = this.leases.get(id);
    if (!lease) throw etcdErrors.leaseNotFound();
    lease.cancelTimer();
    this.leases.delete(id);
    this.onRevoke([...lease.keys].sort());
  }

  move(key: string, from: string, to: string): void {
    this.leases.get(from)?.keys.delete(key);
    this.leases.get(to)?.keys.add(key);
  }

  /** Time goes on, but nothing expires until `resume` or `promote`: the process is stopped. */
  suspend(): void {
    this.ticking = false;
    for (const lease of this.leases.values()) lease.cancelTimer();
  }

  /** Goes on after `suspend`: what has ended meanwhile expires now, in the order of its deadlines. */
  resume(): void {
    this.ticking = true;
    for (const lease of this.list()) this.expireOrArm(lease);
  }

  /** Goes on as a newly elected leader does: every lease gets its full TTL again. */
  promote(): void {
    this.ticking = true;
    for (const lease of this.leases.values()) {
      lease.cancelTimer();
      this.refresh(lease);
      this.arm(lease);
    }
  }

  private refresh(lease: Lease): void {
    lease.deadline = this.clock.now() + lease.ttl * 1000;
  }

  private arm(lease: Lease): void {
    const delayMs = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(this.remainingMs(lease))));
    lease.cancelTimer = this.clock.after(delayMs, () => this.expireOrArm(lease));
  }

  private expireOrArm(lease: Lease): void {
    if (this.leases.get(lease.id) !== lease) return;
    if (this.remainingMs(lease) <= 0) this.revoke(lease.id);
    else this.arm(lease);
  }
}
