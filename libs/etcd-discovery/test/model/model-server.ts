import type { EtcdHeader, KeyRange, WatchEvent } from '../../src/etcd/etcd-client.js';
import { EtcdRequestError, type EtcdFailure } from '../../src/etcd/etcd-status.js';
import type { Clock, Random } from '../../src/utils/clock.js';
import type { Refusal, RequestKind } from './faults.js';
import type { Link } from './link.js';
import { ModelStore, type Backup } from './model-store.js';

const REFUSED: Record<Refusal, { readonly text: string; readonly kinds: readonly RequestKind[] }> = {
  'no-space': { text: 'etcdserver: mvcc: database space exceeded', kinds: ['grant', 'txn'] },
  'permission-denied': { text: 'etcdserver: permission denied', kinds: ['range', 'txn'] },
  auth: { text: 'etcdserver: invalid auth token', kinds: ['range', 'txn', 'grant', 'keepAlive', 'revoke', 'probe'] },
  refused: { text: 'etcdserver: too many requests', kinds: ['range', 'txn', 'grant', 'keepAlive'] },
};

interface Arrived {
  run(): void;
  broken(text: string): void;
}

/** An etcd that can be paused, killed, restored and made to lie. */
export class ModelServer {
  readonly store: ModelStore;
  readonly streams = new Set<{ committed(events: readonly WatchEvent[]): void }>();
  readonly links = new Set<Link>();
  mode: 'up' | 'frozen' | 'down' = 'up';
  refusal: Refusal | undefined;
  /** At most so many keys in one answer, so that few keys make several pages. */
  pageSize = Infinity;
  /** The next page that is followed by another one is followed by a compaction first. */
  compactAfterPage = false;
  /** How often what was written was taken back. */
  rewinds = 0;
  private backlog: Arrived[] = [];
  private outage = 0;
  private backAt = -Infinity;

  constructor(
    readonly clock: Clock,
    readonly random: Random,
    private term: number,
  ) {
    this.store = new ModelStore(clock);
    this.store.onCommit = (events) => {
      for (const stream of this.streams) stream.committed(events);
      this.onCommit(events);
    };
  }

  /** Called once, as soon as etcd works again. */
  onStart: (() => void) | undefined;

  /** Told of every revision. */
  onCommit: (events: readonly WatchEvent[]) => void = () => {};

  header(): EtcdHeader {
    return { clusterId: '1', memberId: '1', revision: this.store.revision, raftTerm: this.term };
  }

  /** A request has come in: it is served now, after the pause, or never. */
  receive(request: Arrived): void {
    if (this.mode === 'down') request.broken('connect ECONNREFUSED model:2379');
    else if (this.mode === 'frozen') this.backlog.push(request);
    else request.run();
  }

  /** @throws EtcdRequestError */
  assertAllowed(kind: RequestKind): void {
    if (!this.refusal) return;
    const { text, kinds } = REFUSED[this.refusal];
    if (kinds.includes(kind)) throw new EtcdRequestError(this.refusal satisfies EtcdFailure, text);
  }

  refusalOfWatch(): string | undefined {
    return this.refusal === 'auth' || this.refusal === 'permission-denied' ? REFUSED[this.refusal].text : undefined;
  }

  /** An operator's change; not while etcd does not work. */
  operate(change: (store: ModelStore) => void): void {
    if (this.mode === 'up') change(this.store);
  }

  freeze(): void {
    if (this.mode !== 'up') return;
    this.mode = 'frozen';
    this.store.suspend();
  }

  thaw(): void {
    if (this.mode !== 'frozen') return;
    this.mode = 'up';
    // As measured: what has expired is gone before anybody's renewal is looked at.
    this.store.resume();
    for (const request of this.backlog.splice(0)) request.run();
  }

  kill(): void {
    if (this.mode === 'down') return;
    this.mode = 'down';
    this.outage += 1;
    this.store.suspend();
    this.streams.clear();
    this.backlog = [];
    for (const link of this.links) link.lost('read ECONNRESET');
  }

  /** How long it still takes until a backup has been put back, ms. */
  get restoringMs(): number {
    return Math.max(0, this.backAt - this.clock.now());
  }

  /** The same data, a new leader: leases begin anew. Not while a backup is put back. */
  start(): void {
    if (this.mode !== 'down' || this.restoringMs > 0) return;
    this.mode = 'up';
    this.outage += 1;
    this.term += 1;
    this.store.promote();
    const { onStart } = this;
    this.onStart = undefined;
    onStart?.();
  }

  /** Down for `downMs`, and back with the data of the backup. */
  restore(backup: Backup, downMs: number): void {
    this.kill();
    this.rewinds += 1;
    this.store.restore(backup);
    // A backup brings no raft state with it.
    this.term = 1;
    this.startLater(downMs);
  }

  wipe(downMs: number): void {
    this.restore({ revision: 1, history: [], leases: [] }, downMs);
  }

  compact(): void {
    this.operate((store) => (store.compacted = store.revision));
  }

  /** Every lease ends within a moment, as after a pause of etcd. */
  expireAll(): void {
    this.operate((store) => {
      for (const id of store.leases.keys()) store.revoke(id);
    });
  }

  range(range: KeyRange, revision: number, limit: number) {
    const found = this.store.range(range, revision);
    const kvs = found.slice(0, Math.min(limit || Infinity, this.pageSize));
    const more = kvs.length < found.length;
    const header = this.header();
    if (more && this.compactAfterPage) {
      this.compactAfterPage = false;
      // There must be something newer, or the compacted revision would still be readable.
      this.store.apply([{ type: 'put', key: '/elsewhere', value: '', lease: '0' }]);
      this.compact();
    }
    return { header, kvs, more, count: found.length };
  }

  private startLater(downMs: number): void {
    const { outage } = this;
    this.backAt = this.clock.now() + downMs;
    this.clock.after(downMs, () => {
      if (this.outage === outage) this.start();
    });
  }
}
