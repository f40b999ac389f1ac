import type { Clock } from '../../utils/clock.js';
import { etcdErrors } from './etcd.errors.js';
import { type AlarmMember, AlarmType, type ResponseHeader } from './etcd.messages.js';
import { keyBytes } from './key-index.js';
import { LeaseStore } from './lease.store.js';
import { MvccStore } from './mvcc.store.js';

const NO_END = Buffer.alloc(0);

/** A random positive 63-bit id in decimal, from two 31-bit halves: what etcd gives to leases and members. */
export const randomId = (random: () => number): string =>
  ((BigInt(Math.floor(random() * 2 ** 31)) << 32n) | BigInt(Math.floor(random() * 2 ** 32)) | 1n).toString();

/** Who answers: the ids and the raft term of every response header. */
export interface Identity {
  readonly clusterId: string;
  readonly memberId: string;
  /** Rises with every start, as a single member elects itself anew. */
  raftTerm: number;
}

/** Everything that an etcd keeps on its disk: keys, leases, alarms. Pure; time comes from the clock. */
export class EtcdState {
  readonly leases: LeaseStore;
  readonly kv: MvccStore;
  readonly alarms: AlarmMember[] = [];

  constructor(
    readonly identity: Identity,
    clock: Clock,
  ) {
    this.leases = new LeaseStore(clock, (keys) => this.deleteKeys(keys));
    this.kv = new MvccStore(this.leases);
  }

  header(revision = this.kv.revision): ResponseHeader {
    const { clusterId, memberId, raftTerm } = this.identity;
    return { cluster_id: clusterId, member_id: memberId, revision, raft_term: raftTerm };
  }

  /** @throws EtcdStatusError RESOURCE_EXHAUSTED while the NOSPACE alarm is raised */
  assertSpace(): void {
    if (this.alarms.some(({ alarm }) => alarm === AlarmType.nospace)) throw etcdErrors.noSpace();
  }

  /** The keys of a lease go in one revision, as in etcd. */
  private deleteKeys(keys: readonly string[]): void {
    this.kv.write((txn) => {
      for (const key of keys) txn.delete(keyBytes(key), NO_END);
    });
  }
}
