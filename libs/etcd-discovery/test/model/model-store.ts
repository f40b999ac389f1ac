import type { Compare, EtcdKeyValue, KeyRange, TxnOp, TxnRequest, WatchEvent } from '../../src/etcd/etcd-client.js';
import { EtcdRequestError } from '../../src/etcd/etcd-status.js';
import type { Clock } from '../../src/utils/clock.js';

export interface ModelLease {
  readonly id: string;
  readonly ttlSeconds: number;
  /** Which process it was granted to. */
  readonly owner: string;
  deadline: number;
  cancelTimer: () => void;
}

/** What a backup holds. */
export interface Backup {
  readonly revision: number;
  readonly history: readonly WatchEvent[];
  readonly leases: readonly Pick<ModelLease, 'id' | 'ttlSeconds' | 'owner'>[];
}

export const inRange = ({ key, rangeEnd }: KeyRange, candidate: string): boolean =>
  rangeEnd === undefined ? candidate === key : candidate >= key && (rangeEnd === '\0' || candidate < rangeEnd);

/**
 * What an etcd keeps on its disk: the history of its keys and its leases, which end by the clock. No network, no faults.
 * Unlike a real one it never forgets: compaction only refuses, so that whoever judges a cache can look at any revision.
 */
export class ModelStore {
  revision = 1;
  compacted = 0;
  readonly leases = new Map<string, ModelLease>();
  history: WatchEvent[] = [];
  /** Renewals of leases that are gone answer as if they were there (etcd #20615). */
  lying = false;
  /** Called after every revision, with its events. */
  onCommit: (events: readonly WatchEvent[]) => void = () => {};
  private keys = new Map<string, EtcdKeyValue>();
  private nextLease = 0x694d_0000_0000_0001n;
  private expiring = true;

  constructor(private readonly clock: Clock) {}

  get(key: string): EtcdKeyValue | undefined {
    return this.keys.get(key);
  }

  /** The keys of a range at a revision, in order; 0 = now. */
  range(range: KeyRange, revision = 0): EtcdKeyValue[] {
    if (revision > this.revision) throw new EtcdRequestError('refused', 'required revision is a future revision');
    if (revision > 0 && revision < this.compacted) {
      throw new EtcdRequestError('compacted', 'required revision has been compacted');
    }
    const at = revision > 0 && revision < this.revision ? this.at(revision) : this.keys;
    return [...at.values()].filter(({ key }) => inRange(range, key)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Every key as of a revision, compacted ones too. */
  at(revision: number): ReadonlyMap<string, EtcdKeyValue> {
    const keys = new Map<string, EtcdKeyValue>();
    for (const event of this.history) {
      if (event.modRevision > revision) break;
      if (event.type === 'delete') keys.delete(event.key);
      else keys.set(event.key, event);
    }
    return keys;
  }

  txn({ compare, success, failure = [] }: TxnRequest): {
    succeeded: boolean;
    responses: { kvs: EtcdKeyValue[] }[];
  } {
    const succeeded = compare.every((each) => this.holds(each));
    return { succeeded, responses: this.apply(succeeded ? success : failure) };
  }

  apply(ops: readonly TxnOp[]): { kvs: EtcdKeyValue[] }[] {
    for (const op of ops) {
      if (op.type === 'put' && op.lease !== '0' && !this.leases.has(op.lease)) {
        throw new EtcdRequestError('lease-not-found', 'requested lease not found');
      }
    }
    const modRevision = this.revision + 1;
    const events: WatchEvent[] = [];
    const answers = ops.map((op) => {
      const known = this.keys.get(op.key);
      if (op.type === 'get') return { kvs: known ? [known] : [] };
      if (op.type === 'put') {
        const event: WatchEvent = {
          type: 'put',
          key: op.key,
          value: Buffer.from(op.value),
          createRevision: known?.createRevision ?? modRevision,
          modRevision,
          version: (known?.version ?? 0) + 1,
          lease: op.lease,
        };
        this.keys.set(op.key, event);
        events.push(event);
      } else if (known) {
        this.keys.delete(op.key);
        const value = Buffer.alloc(0);
        events.push({ type: 'delete', key: op.key, value, createRevision: 0, modRevision, version: 0, lease: '0' });
      }
      return { kvs: [] };
    });
    if (events.length > 0) {
      this.revision = modRevision;
      this.history.push(...events);
      this.onCommit(events);
    }
    return answers;
  }

  grant(ttlSeconds: number, owner: string): ModelLease {
    const lease: ModelLease = {
      id: String(this.nextLease++),
      ttlSeconds,
      owner,
      deadline: 0,
      cancelTimer: () => {},
    };
    this.leases.set(lease.id, lease);
    this.refresh(lease);
    if (this.expiring) this.arm(lease);
    return lease;
  }

  /** The TTL, seconds; 0 when there is no such lease. */
  renew(id: string): number {
    const lease = this.leases.get(id);
    // The timer stays: when it fires it finds the later deadline and sets itself again.
    if (lease) this.refresh(lease);
    return lease?.ttlSeconds ?? (this.lying ? 10 : 0);
  }

  /** The lease ends and takes its keys with it, in one revision; false when there is none. */
  revoke(id: string): boolean {
    const lease = this.leases.get(id);
    if (!lease) return false;
    lease.cancelTimer();
    this.leases.delete(id);
    this.apply([...this.keys.values()].filter((kv) => kv.lease === id).map(({ key }) => ({ type: 'delete', key })));
    return true;
  }

  /** Time goes on, but nothing expires until `resume` or `promote`. */
  suspend(): void {
    this.expiring = false;
    for (const lease of this.leases.values()) lease.cancelTimer();
  }

  /** Goes on after a pause: what has ended meanwhile ends now, in the order of the deadlines. */
  resume(): void {
    this.expiring = true;
    for (const lease of [...this.leases.values()].sort((a, b) => a.deadline - b.deadline)) this.expireOrArm(lease);
  }

  /** Goes on as a newly elected leader does: every lease gets its full TTL again. */
  promote(): void {
    this.expiring = true;
    for (const lease of this.leases.values()) {
      lease.cancelTimer();
      this.refresh(lease);
      this.arm(lease);
    }
  }

  backup(): Backup {
    return {
      revision: this.revision,
      history: [...this.history],
      leases: [...this.leases.values()].map(({ id, ttlSeconds, owner }) => ({ id, ttlSeconds, owner })),
    };
  }

  /** What was written since the backup has never been; nothing expires before `promote`. */
  restore({ revision, history, leases }: Backup): void {
    this.suspend();
    this.revision = revision;
    this.compacted = 0;
    this.history = [...history];
    this.keys = new Map(this.at(revision));
    this.leases.clear();
    for (const lease of leases) this.leases.set(lease.id, { ...lease, deadline: 0, cancelTimer: () => {} });
  }

  private refresh(lease: ModelLease): void {
    lease.deadline = this.clock.now() + lease.ttlSeconds * 1_000;
  }

  private arm(lease: ModelLease): void {
    lease.cancelTimer = this.clock.after(lease.deadline - this.clock.now(), () => this.expireOrArm(lease));
  }

  private expireOrArm(lease: ModelLease): void {
    if (this.leases.get(lease.id) !== lease) return;
    if (lease.deadline <= this.clock.now()) this.revoke(lease.id);
    else this.arm(lease);
  }

  /** Would this comparison hold now? */
  holds(compare: Compare): boolean {
    const kv = this.keys.get(compare.key);
    const { version = 0, createRevision: create = 0, modRevision: mod = 0, lease = '0' } = kv ?? {};
    const actual = { version, create, mod, lease }[compare.target];
    if (compare.result === 'equal') return actual === compare.value;
    if (compare.result === 'notEqual') return actual !== compare.value;
    const distance = Number(actual) - Number(compare.value);
    return compare.result === 'greater' ? distance > 0 : distance < 0;
  }
}
