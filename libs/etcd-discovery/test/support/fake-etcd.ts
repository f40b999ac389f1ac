import { EtcdRequestError } from '../../src/etcd/etcd-status.js';
import type {
  CallOptions,
  EtcdClient,
  EtcdHeader,
  EtcdKeyValue,
  KeyRange,
  RangeRequest,
  RangeResponse,
  TxnResponse,
  WatchEnd,
  WatchEvent,
  WatchHandle,
  WatchObserver,
} from '../../src/etcd/etcd-client.js';
import type { FakeClock } from './fake-clock.js';
import { FakeGate } from './fake-gate.js';

interface FakeWatch extends KeyRange {
  readonly observer: WatchObserver;
  nextRevision: number;
  created: boolean;
  open: boolean;
}

/**
 * The reading half of etcd in memory, on a fake clock: one history of revisions, ranges at any of them, watches from
 * any of them, and the faults that end a watch or a list. Every answer takes `latencyMs` of the clock's time.
 */
export class FakeEtcd implements EtcdClient {
  readonly gate = new FakeGate();
  readonly endpoint = 'fake:2379';
  latencyMs = 1;
  /** Every range asked for, in order. */
  readonly ranges: RangeRequest[] = [];
  /** Ranges that are answered with an error, first come first served. */
  readonly rangeFailures: Error[] = [];
  /** No answer and no event until it is false again; calls run into their deadline. */
  frozen = false;
  /** Watches stay open and say nothing. */
  mute = false;

  clusterId = '1';

  private history: WatchEvent[] = [];
  private current = 1;
  private compacted = 0;
  private term = 2;
  private readonly watches = new Set<FakeWatch>();

  constructor(private readonly clock: FakeClock) {}

  get revision(): number {
    return this.current;
  }

  /** What is stored now. */
  get stored(): ReadonlyMap<string, EtcdKeyValue> {
    return this.at(this.current);
  }

  get openWatches(): readonly KeyRange[] {
    return [...this.watches].map(({ key, rangeEnd }) => ({ key, rangeEnd }));
  }

  put(key: string, value: string | Buffer, lease = '7'): void {
    this.write([{ put: key, value, lease }]);
  }

  delete(key: string): void {
    this.write([{ delete: key }]);
  }

  /** Several changes in one revision, as a transaction or the expiry of a lease makes them. */
  write(ops: readonly ({ put: string; value: string | Buffer; lease?: string } | { delete: string })[]): void {
    const before = this.at(this.current);
    const revision = ++this.current;
    for (const op of ops) {
      if ('delete' in op) {
        if (!before.has(op.delete)) continue;
        this.history.push({
          type: 'delete',
          key: op.delete,
          value: Buffer.alloc(0),
          createRevision: 0,
          modRevision: revision,
          version: 0,
          lease: '0',
        });
        continue;
      }
      const known = before.get(op.put);
      this.history.push({
        type: 'put',
        key: op.put,
        value: Buffer.from(op.value),
        createRevision: known?.createRevision ?? revision,
        modRevision: revision,
        version: (known?.version ?? 0) + 1,
        lease: op.lease ?? '7',
      });
    }
    for (const watch of this.watches) this.deliver(watch);
  }

  compact(revision = this.current): void {
    this.compacted = revision;
  }

  /**
   * The data of an older revision, and writes that go on from there: what a restored backup looks like. Cluster and
   * member stay what they are, and the terms begin anew: 2 after the first election.
   */
  restore(revision: number): void {
    this.history = this.history.filter((event) => event.modRevision <= revision);
    this.current = revision;
    this.compacted = Math.min(this.compacted, revision);
    this.term = 2;
  }

  /** Changes what is stored of a key without a trace in revisions or events, as no etcd does but a restored one seems to. */
  rewrite(key: string, patch: { [K in keyof EtcdKeyValue]?: EtcdKeyValue[K] | string }): void {
    const at = this.history.findLastIndex((event) => event.key === key && event.type === 'put');
    const value = patch.value === undefined ? {} : { value: Buffer.from(patch.value as string) };
    this.history[at] = { ...this.history[at], ...patch, ...value } as WatchEvent;
  }

  /** An election: after a restart, or because a leader was lost. */
  elect(term = this.term + 1): void {
    this.term = term;
  }

  /** Ends the open watches that match, as the server or the connection would. */
  endWatches(end: WatchEnd, matches: (range: KeyRange) => boolean = () => true): void {
    for (const watch of Array.from(this.watches)) {
      if (!matches(watch)) continue;
      this.watches.delete(watch);
      watch.open = false;
      watch.observer.end(end);
    }
  }

  /** The connection is gone: the gate shuts, every watch ends, every call fails. */
  goDown(message = 'connect ECONNREFUSED fake:2379'): void {
    const error = new EtcdRequestError('unreachable', message);
    this.gate.set(false, error);
    this.endWatches({ reason: 'error', error });
  }

  comeBack(): void {
    this.gate.set(true);
  }

  /** Hands events out again that were delivered before, as a server with that defect does. */
  replay(fromRevision: number): void {
    for (const watch of this.watches) {
      for (const batch of this.batches(watch, fromRevision)) watch.observer.events(batch, this.header());
    }
  }

  range(request: RangeRequest, options: CallOptions & { via?: 'unary' | 'watch' } = {}): Promise<RangeResponse> {
    this.ranges.push(request);
    return this.answer(options, () => {
      const failure = this.rangeFailures.shift();
      if (failure) throw failure;
      const revision = request.revision || this.current;
      if (revision > this.current) throw new EtcdRequestError('refused', 'required revision is a future revision');
      if (revision < this.compacted) throw new EtcdRequestError('compacted', 'required revision has been compacted');
      const found = [...this.at(revision).values()]
        .filter((kv) => inRange(request, kv.key))
        .toSorted((a, b) => (a.key < b.key ? -1 : 1));
      const page = request.limit ? found.slice(0, request.limit) : found;
      const kvs = request.keysOnly ? page.map((kv) => ({ ...kv, value: Buffer.alloc(0) })) : page;
      return { header: this.header(), kvs, more: kvs.length < found.length, count: found.length };
    });
  }

  watch(request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle {
    const watch: FakeWatch = {
      key: request.key,
      rangeEnd: request.rangeEnd,
      observer,
      nextRevision: request.startRevision,
      created: false,
      open: true,
    };
    this.watches.add(watch);
    this.clock.after(this.latencyMs, () => {
      if (!watch.open || this.frozen) return;
      watch.created = true;
      watch.nextRevision ||= this.current + 1;
      observer.created?.(this.header());
      if (watch.nextRevision <= this.compacted) {
        this.watches.delete(watch);
        watch.open = false;
        observer.end({ reason: 'compacted', compactRevision: this.compacted });
        return;
      }
      this.deliver(watch);
    });
    return {
      close: () => {
        watch.open = false;
        this.watches.delete(watch);
      },
    };
  }

  txn(): Promise<TxnResponse> {
    return Promise.reject(new Error('not part of this fake'));
  }

  grantLease(): Promise<{ id: string; ttl: number }> {
    return Promise.reject(new Error('not part of this fake'));
  }

  keepAliveLease(): Promise<{ ttl: number }> {
    return Promise.reject(new Error('not part of this fake'));
  }

  revokeLease(): Promise<void> {
    return Promise.reject(new Error('not part of this fake'));
  }

  localAddress(): Promise<string | undefined> {
    return Promise.resolve('127.0.0.1');
  }

  close(): Promise<void> {
    this.endWatches({ reason: 'closed' });
    return Promise.resolve();
  }

  private header(): EtcdHeader {
    return { clusterId: this.clusterId, memberId: '1', revision: this.current, raftTerm: this.term };
  }

  private at(revision: number): Map<string, EtcdKeyValue> {
    const keys = new Map<string, EtcdKeyValue>();
    for (const event of this.history) {
      if (event.modRevision > revision) break;
      if (event.type === 'delete') keys.delete(event.key);
      else keys.set(event.key, event);
    }
    return keys;
  }

  private *batches(range: KeyRange, fromRevision: number): Generator<WatchEvent[]> {
    let batch: WatchEvent[] = [];
    for (const event of this.history) {
      if (event.modRevision < fromRevision || !inRange(range, event.key)) continue;
      if (batch.length > 0 && batch[0]?.modRevision !== event.modRevision) {
        yield batch;
        batch = [];
      }
      batch.push(event);
    }
    if (batch.length > 0) yield batch;
  }

  private deliver(watch: FakeWatch): void {
    this.clock.after(this.latencyMs, () => {
      if (!watch.open || !watch.created || this.frozen || this.mute) return;
      const from = watch.nextRevision;
      watch.nextRevision = Math.max(from, this.current + 1);
      for (const batch of this.batches(watch, from)) if (watch.open) watch.observer.events(batch, this.header());
    });
  }

  private answer<T>(options: CallOptions, reply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(new EtcdRequestError('cancelled', 'cancelled'));
      const abort = () => {
        cancel();
        reject(new EtcdRequestError('cancelled', 'cancelled'));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const { frozen } = this;
      const cancel = this.clock.after(frozen ? (options.timeoutMs ?? 2_000) : this.latencyMs, () => {
        signal?.removeEventListener('abort', abort);
        try {
          if (frozen) throw new EtcdRequestError('unreachable', 'etcd did not answer within 2 s');
          if (!this.gate.state.open) throw this.gate.state.error;
          resolve(reply());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }
}

const inRange = (range: KeyRange, key: string): boolean =>
  range.rangeEnd === undefined ? key === range.key : key >= range.key && key < range.rangeEnd;
