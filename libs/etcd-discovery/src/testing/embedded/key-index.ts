import type { KeyValue } from './etcd.messages.js';

/** One version of a key; without `kv` it is a tombstone. */
export interface KeyVersion {
  readonly revision: number;
  readonly kv?: KeyValue;
}

/** All versions of one key since the last compaction, oldest first. */
export class KeyHistory {
  private versions: KeyVersion[] = [];

  get isEmpty(): boolean {
    return this.versions.length === 0;
  }

  /** The live value at `revision`, or undefined when the key did not exist then. */
  at(revision: number): KeyValue | undefined {
    return this.versions[this.indexAt(revision)]?.kv;
  }

  push(version: KeyVersion): void {
    this.versions.push(version);
  }

  /** Takes back the newest version: the undo of a failed transaction. */
  pop(): void {
    this.versions.pop();
  }

  /** Keeps what a read at `revision` or later can see. A tombstone there is not kept, as in etcd 3.4. */
  compact(revision: number): void {
    const newest = this.indexAt(revision);
    if (newest < 0) return;
    this.versions = this.versions.slice(this.versions[newest]?.kv ? newest : newest + 1);
  }

  private indexAt(revision: number): number {
    let high = this.versions.length;
    // Nearly every read is of the newest version.
    if (high > 0 && this.versions[high - 1]!.revision <= revision) return high - 1;
    let low = 0;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.versions[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** A key as a string whose code units are its bytes: comparing such strings compares the bytes. */
export const keyText = (key: Buffer): string => key.toString('latin1');
export const keyBytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Every key with a history, in the order of their bytes. A range costs two binary searches and its own length. */
export class KeyIndex {
  private readonly histories = new Map<string, KeyHistory>();
  private sorted: string[] = [];

  get(key: string): KeyHistory | undefined {
    return this.histories.get(key);
  }

  getOrCreate(key: string): KeyHistory {
    let history = this.histories.get(key);
    if (!history) {
      history = new KeyHistory();
      this.histories.set(key, history);
      const last = this.sorted.at(-1);
      if (last === undefined || last < key) this.sorted.push(key);
      else this.sorted.splice(this.lowerBound(key), 0, key);
    }
    return history;
  }

  delete(key: string): void {
    if (this.histories.delete(key)) this.sorted.splice(this.lowerBound(key), 1);
  }

  /** Keys in [from, to); without `to`, all from `from` on. */
  keys(from: string, to?: string): string[] {
    const start = this.lowerBound(from);
    return this.sorted.slice(start, to === undefined ? undefined : Math.max(start, this.lowerBound(to)));
  }

  compact(revision: number): void {
    for (const [key, history] of this.histories) {
      history.compact(revision);
      if (history.isEmpty) this.histories.delete(key);
    }
    this.sorted = this.sorted.filter((key) => this.histories.has(key));
  }

  private lowerBound(key: string): number {
    let low = 0;
    let high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.sorted[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
