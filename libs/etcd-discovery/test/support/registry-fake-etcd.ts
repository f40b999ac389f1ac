import { EtcdRequestError } from '../../src/etcd/etcd-status.js';
import type {
  CallOptions,
  Compare,
  EtcdClient,
  EtcdHeader,
  EtcdKeyValue,
  KeyRange,
  RangeRequest,
  RangeResponse,
  TxnOp,
  TxnRequest,
  TxnResponse,
  WatchEnd,
  WatchEvent,
  WatchHandle,
  WatchObserver,
} from '../../src/etcd/etcd-client.js';
import type { FakeClock } from './fake-clock.js';
import { FakeGate } from './fake-gate.js';

export type Operation = 'range' | 'txn' | 'grant' | 'keepAlive' | 'revoke';

export interface Request {
  readonly op: Operation;
  readonly txn?: TxnRequest;
  readonly lease?: string;
}

/**
 * What becomes of a request: an error is its answer; `hang`: it is never answered (and not applied); `late`: it is not
 * answered, but applied by `landLate()`; `lost-answer`: applied at once, the answer is lost.
 */
export type Fate = Error | 'hang' | 'late' | 'lost-answer' | undefined;

interface FakeWatch {
  readonly key: string;
  readonly observer: WatchObserver;
  next: number;
}

/** The writing half of etcd in memory, on a fake clock: transactions, leases that expire, watches on single keys. */
export class RegistryFakeEtcd implements EtcdClient {
  readonly gate = new FakeGate();
  readonly endpoint = 'fake:2379';
  latencyMs = 1;
  /** How much later than answers events come. */
  watchLagMs = 0;
  /** Decides what becomes of each request; undefined = it is answered. */
  fate: (request: Request) => Fate = () => undefined;
  /** The moment of each put and delete that was applied, ms of the clock. */
  readonly appliedAt: { readonly type: 'put' | 'delete'; readonly key: string; readonly at: number }[] = [];
  /** Every request, in the order of sending. */
  readonly requests: Request[] = [];
  readonly leases = new Map<string, { ttl: number; cancelExpiry: () => void }>();
  grantedTtl: (asked: number) => number = (asked) => asked;
  revision = 1;
  private nextLease = 0x694d_0000_0000_0001n;
  private keys = new Map<string, EtcdKeyValue>();
  private history: WatchEvent[] = [];
  private readonly watches = new Set<FakeWatch>();
  private readonly late: (() => void)[] = [];
  private outage: Error | undefined;

  constructor(private readonly clock: FakeClock) {}

  get(key: string): EtcdKeyValue | undefined {
    return this.keys.get(key);
  }

  get openWatches(): number {
    return this.watches.size;
  }

  count(op: Operation): number {
    return this.requests.filter((request) => request.op === op).length;
  }

  /** Every value the key has had, `undefined` for each time it went, in order. */
  valuesOf(key: string): (Record<string, unknown> | undefined)[] {
    return this.history
      .filter((event) => event.key === key)
      .map((event) =>
        event.type === 'put' ? (JSON.parse(event.value.toString()) as Record<string, unknown>) : undefined,
      );
  }

  put(key: string, value: string, lease = '0'): void {
    this.apply([{ type: 'put', key, value, lease }]);
  }

  /** One or many, all in one revision. */
  delete(...keys: string[]): void {
    this.apply(keys.map((key) => ({ type: 'delete', key })));
  }

  /** A lease of somebody else, kept alive for ever. */
  foreignLease(): string {
    const id = String(this.nextLease++);
    this.leases.set(id, { ttl: 10, cancelExpiry: () => {} });
    return id;
  }

  /** The lease ends and its keys go, as by `etcdctl lease revoke` or by expiry. */
  endLease(id: string): void {
    this.leases.get(id)?.cancelExpiry();
    this.leases.delete(id);
    this.apply([...this.keys.values()].filter((kv) => kv.lease === id).map(({ key }) => ({ type: 'delete', key })));
  }

  /** A backup of an earlier revision is put back: keys, revision and history; leases stay as they are. */
  restore(revision: number): void {
    this.history = this.history.filter((event) => event.modRevision <= revision);
    this.revision = revision;
    this.keys = this.keysAt(revision);
    this.endWatches({ reason: 'error', error: new Error('restarted') });
  }

  /** Nobody answers: calls fail at once, the gate shuts, watches end. Leases expire all the same unless `keepLeases`. */
  goDown({ keepLeases = false } = {}): void {
    this.outage = new EtcdRequestError('unreachable', 'connect ECONNREFUSED fake:2379');
    if (keepLeases) for (const lease of this.leases.values()) lease.cancelExpiry();
    this.gate.set(false, this.outage);
    this.endWatches({ reason: 'error', error: this.outage });
  }

  comeBack(): void {
    this.outage = undefined;
    this.fate = () => undefined;
    for (const [id, { ttl }] of this.leases) this.arm(id, ttl);
    this.gate.set(true);
  }

  /** Requests get no answer any more; the gate notices nothing. */
  freeze(fate: 'hang' | 'late' = 'hang'): void {
    this.fate = () => fate;
  }

  /** Applies what came in with the fate `late`, in the order of sending. */
  landLate(): void {
    for (const apply of this.late.splice(0)) apply();
  }

  endWatches(end: WatchEnd): void {
    const ended = [...this.watches];
    this.watches.clear();
    for (const { observer } of ended) observer.end(end);
  }

  range(request: RangeRequest, options: CallOptions = {}): Promise<RangeResponse> {
    return this.call({ op: 'range' }, options, () => {
      const { key, rangeEnd, limit = 0, revision = 0 } = request;
      const within = (one: string) => (rangeEnd === undefined ? one === key : one >= key && one < rangeEnd);
      const found = [...(revision === 0 ? this.keys : this.keysAt(revision)).values()].filter((kv) => within(kv.key));
      const kvs = limit === 0 ? found : found.slice(0, limit);
      return { header: this.header(), kvs, more: kvs.length < found.length, count: found.length };
    });
  }

  txn(request: TxnRequest, options: CallOptions = {}): Promise<TxnResponse> {
    return this.call({ op: 'txn', txn: request }, options, () => {
      const succeeded = request.compare.every((compare) => this.holds(compare));
      const responses = this.apply(succeeded ? request.success : (request.failure ?? []));
      return { header: this.header(), succeeded, responses };
    });
  }

  grantLease(ttlSeconds: number, options: CallOptions = {}): Promise<{ id: string; ttl: number }> {
    return this.call({ op: 'grant' }, options, () => {
      const id = String(this.nextLease++);
      const ttl = this.grantedTtl(ttlSeconds);
      this.arm(id, ttl);
      return { id, ttl };
    });
  }

  keepAliveLease(id: string, options: CallOptions = {}): Promise<{ ttl: number }> {
    return this.call({ op: 'keepAlive', lease: id }, options, () => {
      const lease = this.leases.get(id);
      if (!lease) return { ttl: 0 };
      this.arm(id, lease.ttl);
      return { ttl: lease.ttl };
    });
  }

  revokeLease(id: string, options: CallOptions = {}): Promise<void> {
    return this.call({ op: 'revoke', lease: id }, options, () => {
      if (!this.leases.has(id)) throw new EtcdRequestError('lease-not-found', 'requested lease not found');
      this.endLease(id);
    });
  }

  watch(request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle {
    const watch: FakeWatch = { key: request.key, observer, next: request.startRevision };
    this.watches.add(watch);
    this.deliver(watch);
    return { close: () => void this.watches.delete(watch) };
  }

  localAddress(): Promise<string | undefined> {
    return Promise.resolve('127.0.0.1');
  }

  close(): Promise<void> {
    this.endWatches({ reason: 'closed' });
    return Promise.resolve();
  }

  private keysAt(revision: number): Map<string, EtcdKeyValue> {
    const keys = new Map<string, EtcdKeyValue>();
    for (const event of this.history) {
      if (event.modRevision > revision) break;
      if (event.type === 'put') keys.set(event.key, event);
      else keys.delete(event.key);
    }
    return keys;
  }

  private arm(id: string, ttl: number): void {
    this.leases.get(id)?.cancelExpiry();
    this.leases.set(id, { ttl, cancelExpiry: this.clock.after(ttl * 1_000, () => this.endLease(id)) });
  }

  private header(): EtcdHeader {
    return { clusterId: '1', memberId: '1', revision: this.revision, raftTerm: 2 };
  }

  private holds(compare: Compare): boolean {
    const kv = this.keys.get(compare.key);
    const { version = 0, createRevision: create = 0, modRevision: mod = 0, lease = '0' } = kv ?? {};
    const actual = { version, create, mod, lease }[compare.target];
    if (compare.result === 'equal') return actual === compare.value;
    if (compare.result === 'notEqual') return actual !== compare.value;
    const distance = Number(actual) - Number(compare.value);
    return compare.result === 'greater' ? distance > 0 : distance < 0;
  }

  private apply(ops: readonly TxnOp[]): { kvs: EtcdKeyValue[] }[] {
    for (const op of ops) {
      if (op.type === 'put' && op.lease !== '0' && !this.leases.has(op.lease)) {
        throw new EtcdRequestError('lease-not-found', 'requested lease not found');
      }
    }
    const revision = this.revision + 1;
    const events: WatchEvent[] = [];
    const answers = ops.map((op) => {
      const known = this.keys.get(op.key);
      if (op.type === 'get') return { kvs: known ? [known] : [] };
      if (op.type === 'delete') {
        if (!known) return { kvs: [] };
        this.keys.delete(op.key);
        const gone = { value: Buffer.alloc(0), createRevision: 0, modRevision: revision, version: 0, lease: '0' };
        events.push({ type: 'delete', key: op.key, ...gone });
        return { kvs: [] };
      }
      const createRevision = known?.createRevision ?? revision;
      const version = (known?.version ?? 0) + 1;
      const kv = {
        key: op.key,
        value: Buffer.from(op.value),
        createRevision,
        modRevision: revision,
        version,
        lease: op.lease,
      };
      this.keys.set(op.key, kv);
      events.push({ type: 'put', ...kv });
      return { kvs: [] };
    });
    if (events.length > 0) {
      this.revision = revision;
      this.history.push(...events);
      for (const { type, key } of events) this.appliedAt.push({ type, key, at: this.clock.now() });
      const touched = new Set(events.map(({ key }) => key));
      for (const watch of this.watches) if (touched.has(watch.key)) this.deliver(watch);
    }
    return answers;
  }

  private deliver(watch: FakeWatch): void {
    const { revision } = this;
    this.clock.after(this.latencyMs + this.watchLagMs, () => {
      if (!this.watches.has(watch)) return;
      const events = this.history.filter(
        ({ key, modRevision }) => key === watch.key && modRevision >= watch.next && modRevision <= revision,
      );
      watch.next = Math.max(watch.next, revision + 1);
      for (const event of events) if (this.watches.has(watch)) watch.observer.events([event], this.header());
    });
  }

  private call<T>(request: Request, { timeoutMs = 2_000, signal }: CallOptions, answer: () => T): Promise<T> {
    this.requests.push(request);
    const fate = this.outage ?? this.fate(request);
    return new Promise<T>((resolve, reject) => {
      const end = (settle: () => void) => () => {
        cancel();
        signal?.removeEventListener('abort', aborted);
        settle();
      };
      const aborted = end(() => reject(new EtcdRequestError('cancelled', 'cancelled')));
      const silence = end(() => reject(new EtcdRequestError('unreachable', `no answer within ${timeoutMs} ms`)));
      if (signal?.aborted) return reject(new EtcdRequestError('cancelled', 'cancelled'));
      // Applied when it is sent: whoever aborts it afterwards cannot know that it was not.
      const result = fate === undefined || fate === 'lost-answer' ? attempt(answer) : undefined;
      if (fate === 'late') this.late.push(() => attempt(answer));
      const reply = end(() => (result && 'value' in result ? resolve(result.value) : reject(result?.error as Error)));
      const tooLate = fate !== undefined || this.latencyMs > timeoutMs;
      const cancel =
        fate instanceof Error
          ? this.clock.after(
              this.latencyMs,
              end(() => reject(fate)),
            )
          : tooLate
            ? this.clock.after(timeoutMs, silence)
            : this.clock.after(this.latencyMs, reply);
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }
}

const attempt = <T>(answer: () => T): { value: T } | { error: unknown } => {
  try {
    return { value: answer() };
  } catch (error) {
    return { error };
  }
};
