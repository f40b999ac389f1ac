import type { EtcdHeader } from '../etcd/etcd-client.js';

/**
 * A restored cluster counts its terms from 1 and needs an election of half a second or more for each, so that within
 * a heartbeat of 3 s it cannot have come further than this.
 */
const YOUNG_TERM = 10;

/** What etcd's answers have shown of its history, to tell one that goes on from one that was restored or wiped. */
export class EtcdHistory {
  private last: EtcdHeader | undefined;

  /** An answer that belongs to what is known. A member that lags behind takes nothing back. */
  saw(header: EtcdHeader): void {
    const { last } = this;
    if (!last || header.clusterId !== last.clusterId) {
      this.last = header;
      return;
    }
    const revision = Math.max(header.revision, last.revision);
    this.last = { ...header, revision, raftTerm: Math.max(header.raftTerm, last.raftTerm) };
  }

  /** Everything was read anew, values included: this is where the history stands now, wherever it stood before. */
  startsAt(header: EtcdHeader): void {
    this.last = header;
  }

  /**
   * Whether an answer can only come from the history known so far, so that a key that looks the same is the same. Not
   * when cluster, revision or term went back. And not when the connection broke and the term could be that of a
   * cluster just restored: `etcdctl snapshot restore` keeps cluster and member id and starts at term 2, which is also
   * the term of an etcd that has never been restarted. A restart as such always raises the term.
   *
   * @param unbroken the connection has been the same since the last answer, as far as failures of it were seen
   */
  goesOn(header: EtcdHeader, unbroken: boolean): boolean {
    const { last } = this;
    if (!last || isBehind(header, last)) return false;
    if (unbroken && header.memberId === last.memberId) return true;
    return header.raftTerm > last.raftTerm || header.raftTerm > YOUNG_TERM;
  }
}

/** Whether `header` shows another cluster, or the same at an earlier time than `known`. */
export const isBehind = (header: EtcdHeader, known: EtcdHeader): boolean =>
  header.clusterId !== known.clusterId || header.revision < known.revision || header.raftTerm < known.raftTerm;
