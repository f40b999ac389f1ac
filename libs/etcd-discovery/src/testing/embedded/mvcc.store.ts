import { etcdErrors } from './etcd.errors.js';
import { type EventMessage, EventType, type KeyValue } from './etcd.messages.js';
import { KeyIndex, keyText } from './key-index.js';

const EMPTY = Buffer.alloc(0);

/** The changes of one revision, in the order they were made. */
export interface Commit {
  readonly revision: number;
  readonly events: readonly EventMessage[];
}

export interface RangeOptions {
  /** 0 or negative: the newest. */
  readonly revision?: number;
  /** 0: all. */
  readonly limit?: number;
  readonly countOnly?: boolean;
}

export interface RangeResult {
  readonly kvs: readonly KeyValue[];
  /** Of the whole range, whatever the limit. */
  readonly count: number;
  readonly revision: number;
}

/** What a range, a compare or a watch reads through: the store itself, or a transaction in progress. */
export interface ReadView {
  readonly revision: number;
  range(key: Buffer, end: Buffer, options?: RangeOptions): RangeResult;
}

/** Told which key moves between leases when a transaction commits; `'0'` is no lease. */
export interface LeaseBook {
  move(key: string, from: string, to: string): void;
}

/** True for the range end `\0`, which means "every key from `key` on". */
const isOpenEnd = (end: Buffer): boolean => end.length === 1 && end[0] === 0;

/** Is `key` in the etcd range (start, end)? An empty end is the single key, `\0` no upper bound. */
export const rangeContains = (start: string, end: string, key: string): boolean =>
  end === '' ? key === start : key >= start && (end === '\0' || key < end);

/**
 * etcd's multi-version key space as a pure data structure: one revision counter, every version since the last
 * compaction, and the log of changes that watches replay. No I/O, no time.
 */
export class MvccStore implements ReadView {
  private readonly index = new KeyIndex();
  private log: Commit[] = [];
  private readonly listeners = new Set<(commit: Commit) => void>();
  private current = 1;
  private compactedAt = -1;

  constructor(private readonly leases: LeaseBook) {}

  get revision(): number {
    return this.current;
  }

  /** The revision of the last compaction, -1 before the first: reads and watches below it are refused. */
  get compacted(): number {
    return this.compactedAt;
  }

  /** Calls `listener` after every commit that changed something; the returned function unsubscribes. */
  onCommit(listener: (commit: Commit) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  range(key: Buffer, end: Buffer, options: RangeOptions = {}): RangeResult {
    return this.rangeAt(key, end, options, this.current);
  }

  /** The value of one key at `revision`; undefined when it did not exist or that revision is compacted. */
  valueAt(key: string, revision: number): KeyValue | undefined {
    return revision < this.compactedAt ? undefined : this.index.get(key)?.at(revision);
  }

  /** Runs `change` as one revision. When it throws, nothing of it remains. */
  write<T>(change: (txn: WriteTxn) => T): T {
    const txn = new WriteTxn(this, this.index, this.current, (key, end, options, revision) =>
      this.rangeAt(key, end, options, revision),
    );
    let result: T;
    try {
      result = change(txn);
    } catch (error) {
      txn.rollback();
      throw error;
    }
    if (txn.events.length > 0) {
      const commit: Commit = { revision: ++this.current, events: txn.events };
      this.log.push(commit);
      for (const move of txn.leaseMoves) this.leases.move(move.key, move.from, move.to);
      for (const listener of this.listeners) listener(commit);
    }
    return result;
  }

  /** Forgets what reads below `revision` would need. @throws EtcdStatusError OUT_OF_RANGE */
  compact(revision: number): void {
    if (revision <= this.compactedAt) throw etcdErrors.compacted();
    if (revision > this.current) throw etcdErrors.futureRevision();
    this.compactedAt = revision;
    this.index.compact(revision);
    this.log = this.log.slice(this.logIndex(revision));
    const first = this.log[0];
    if (first?.revision === revision) {
      // Of the compacted revision itself only what is still the value of its key survives: see KeyHistory.compact.
      const events = first.events.filter(
        ({ kv }) => kv.version > 0 && this.index.get(keyText(kv.key))?.at(revision) === kv,
      );
      this.log[0] = { revision, events };
    }
  }

  /** The commits from `revision` on, at most `limit` of them; not below the compacted revision. */
  commitsSince(revision: number, limit: number): readonly Commit[] {
    const start = this.logIndex(revision);
    return this.log.slice(start, start + limit);
  }

  private logIndex(revision: number): number {
    // Every revision after the first logged one has exactly one entry.
    const first = this.log[0]?.revision ?? 0;
    return Math.min(Math.max(0, revision - first), this.log.length);
  }

  private rangeAt(key: Buffer, end: Buffer, options: RangeOptions, current: number): RangeResult {
    const { revision = 0, limit = 0, countOnly = false } = options;
    if (revision > current) throw etcdErrors.futureRevision();
    const at = revision > 0 ? revision : current;
    if (at < this.compactedAt) throw etcdErrors.compacted();
    const kvs: KeyValue[] = [];
    let count = 0;
    for (const candidate of this.candidates(key, end)) {
      const kv = this.index.get(candidate)?.at(at);
      if (!kv) continue;
      count++;
      if (!countOnly && (limit <= 0 || kvs.length < limit)) kvs.push(kv);
    }
    return { kvs, count, revision: current };
  }

  private candidates(key: Buffer, end: Buffer): readonly string[] {
    const from = keyText(key);
    if (end.length === 0) return [from];
    return this.index.keys(from, isOpenEnd(end) ? undefined : keyText(end));
  }
}

/** One transaction in progress: it sees its own writes, and leaves no trace when it fails. */
export class WriteTxn implements ReadView {
  readonly events: EventMessage[] = [];
  readonly leaseMoves: { key: string; from: string; to: string }[] = [];

  constructor(
    readonly store: MvccStore,
    private readonly index: KeyIndex,
    private readonly begin: number,
    private readonly rangeAt: (key: Buffer, end: Buffer, options: RangeOptions, revision: number) => RangeResult,
  ) {}

  /** The revision its reads see: the one it writes, once it has written. */
  get revision(): number {
    return this.events.length > 0 ? this.begin + 1 : this.begin;
  }

  range(key: Buffer, end: Buffer, options: RangeOptions = {}): RangeResult {
    return this.rangeAt(key, end, options, this.revision);
  }

  put(key: Buffer, value: Buffer, lease: string): void {
    const text = keyText(key);
    const revision = this.begin + 1;
    const history = this.index.getOrCreate(text);
    const previous = history.at(revision);
    const kv: KeyValue = {
      key,
      value,
      create_revision: previous?.create_revision ?? revision,
      mod_revision: revision,
      version: (previous?.version ?? 0) + 1,
      lease,
    };
    history.push({ revision, kv });
    this.events.push({ type: EventType.put, kv });
    this.leaseMoves.push({ key: text, from: previous?.lease ?? '0', to: lease });
  }

  /** Deletes every live key of the range and returns how many there were. */
  delete(key: Buffer, end: Buffer): number {
    const { kvs } = this.range(key, end);
    const revision = this.begin + 1;
    for (const gone of kvs) {
      const text = keyText(gone.key);
      this.index.getOrCreate(text).push({ revision });
      const kv = { key: gone.key, value: EMPTY, create_revision: 0, mod_revision: revision, version: 0, lease: '0' };
      this.events.push({ type: EventType.delete, kv });
      this.leaseMoves.push({ key: text, from: gone.lease, to: '0' });
    }
    return kvs.length;
  }

  rollback(): void {
    for (const { kv } of this.events) {
      const text = keyText(kv.key);
      const history = this.index.getOrCreate(text);
      history.pop();
      if (history.isEmpty) this.index.delete(text);
    }
  }
}
