import { resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { quote } from '../instance/text.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import type { KeyReader } from './key-reader.js';
import { ageOf, type LastKnown, type StandIn } from './last-known.js';
import { readSnapshot, removeAbandoned, UnusableSnapshot, writeSnapshot } from './snapshot-file.js';
import {
  decodeHeader,
  encodeSnapshot,
  INSTANCES_PER_TURN,
  keyOf,
  learntFromEtcd,
  SnapshotDecoder,
  type SnapshotHeader,
} from './snapshot-format.js';
import { messageOf } from '../utils/message-of.js';

/** A change is written this long after it, with whatever else changes meanwhile. */
const WRITE_AFTER_MS = 1_000;
/** Services that change all the time are written this often: 10,000 instances are 2 MB, or 0.2 MB/s. */
const WRITE_EVERY_MS = 10_000;
/** What does not change is written this often, so that its age tells when etcd was last heard of. */
const REFRESH_MS = 300_000;
/** A disk that hangs holds up neither the first failure of etcd nor the end for longer. */
const PATIENCE_MS = 2_000;
/** What etcd has not stood by for a week is forgotten: its addresses may be others' by now. */
const MAX_AGE_MS = 7 * 86_400_000;

export interface SnapshotStoreDeps {
  readonly path: string;
  readonly namespace: string;
  /** Of etcd; a file that has none of them is of another cluster. */
  readonly endpoints: readonly string[];
  readonly reader: KeyReader;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds since 1970; `Date.now` by default. The file outlives every monotonic clock. */
  readonly wallClock?: () => number;
}

interface Entry {
  readonly instances: readonly ServiceInstance[];
  readonly asOf: number;
  /** A watch stands behind it, so that it is of now. */
  readonly live: boolean;
}

/**
 * The last known instances of every service, in a file (`discovery.snapshotFile`). What is read from it stands in for
 * etcd until etcd answers; what etcd says replaces it, service by service. What this process has not asked etcd about
 * is carried over with its age.
 */
export class SnapshotStore implements LastKnown {
  readonly loaded: Promise<void>;
  private readonly path: string;
  private readonly entries = new Map<string, Entry>();
  private readonly wallClock: () => number;
  private readonly reading: Promise<void>;
  /** Services that etcd told of before the file was read. */
  private early: Set<string> | undefined = new Set();
  private writable = true;
  /** Something was learnt that the file does not say, be it only that etcd still stands by it. */
  private news = false;
  private cancelTimer: (() => void) | undefined;
  private dueAt = Number.POSITIVE_INFINITY;
  private lastWrite = Number.NEGATIVE_INFINITY;
  private writing: Promise<void> = Promise.resolve();
  private lastFailure: string | undefined;
  private closed = false;

  constructor(private readonly deps: SnapshotStoreDeps) {
    this.path = resolve(deps.path);
    this.wallClock = deps.wallClock ?? Date.now;
    this.reading = this.load();
    this.loaded = this.patiently(this.reading);
  }

  services(): Iterable<string> {
    return this.entries.keys();
  }

  of(service: string): StandIn | undefined {
    const entry = this.entries.get(service);
    if (!entry || !this.isFresh(entry)) return undefined;
    const instances = new Map<string, ServiceInstance>();
    for (const instance of learntFromEtcd(entry.instances)) {
      const suspect = instance.suspect ? instance : Object.freeze({ ...instance, suspect: true });
      instances.set(keyOf(this.deps.namespace, instance), suspect);
    }
    return instances.size > 0 ? { file: this.path, asOf: new Date(this.asOf(entry)), instances } : undefined;
  }

  learnt(service: string, instances: readonly ServiceInstance[], live: boolean): void {
    this.early?.add(service);
    const known = this.entries.get(service);
    if (known?.instances === instances) return;
    if (instances.length > 0) {
      this.entries.set(service, { instances, asOf: this.wallClock(), live });
    } else if (!this.entries.delete(service) && !this.early) {
      return;
    }
    this.news = true;
    this.schedule(WRITE_AFTER_MS);
  }

  confirmed(service: string, live: boolean): void {
    const known = this.entries.get(service);
    if (!known || known.live === live) return;
    this.entries.set(service, { ...known, asOf: this.wallClock(), live });
    this.news = true;
    this.schedule(REFRESH_MS);
  }

  /** Writes what is not written yet; takes 2 s at the most. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.cancelTimer?.();
    await this.patiently(this.write());
  }

  private asOf({ asOf, live }: Entry): number {
    return live ? this.wallClock() : asOf;
  }

  private isFresh(entry: Entry): boolean {
    return this.wallClock() - this.asOf(entry) <= MAX_AGE_MS;
  }

  private schedule(afterMs: number): void {
    if (this.closed || !this.writable) return;
    const now = this.deps.clock.now();
    const at = Math.max(now + afterMs, this.lastWrite + WRITE_EVERY_MS);
    if (at >= this.dueAt) return;
    this.cancelTimer?.();
    this.dueAt = at;
    this.cancelTimer = this.deps.clock.after(at - now, () => {
      this.dueAt = Number.POSITIVE_INFINITY;
      void this.write();
    });
  }

  /** One write after the other; each takes what is known when its turn comes. Never rejects. */
  private write(): Promise<void> {
    return (this.writing = this.writing.then(() => this.writeNow()));
  }

  private async writeNow(): Promise<void> {
    // What the file says of other services has to be known before it is replaced.
    await this.reading;
    if (!this.writable || !this.news) return;
    this.news = false;
    this.lastWrite = this.deps.clock.now();
    const { namespace, endpoints, log } = this.deps;
    const header: SnapshotHeader = { namespace, endpoints, savedAt: new Date(this.wallClock()).toISOString() };
    const services = [...this.entries]
      .filter(([, entry]) => this.isFresh(entry))
      .map(([service, entry]) => [service, { instances: entry.instances, asOf: this.asOf(entry) }] as const);
    try {
      await writeSnapshot(this.path, encodeSnapshot(header, services));
      if (this.lastFailure !== undefined) log.log(`discovery.snapshotFile ${this.name} is written again`);
      this.lastFailure = undefined;
    } catch (error) {
      this.news = true;
      this.writeFailed(messageOf(error));
    }
    if ([...this.entries.values()].some(({ live }) => live)) {
      this.news = true;
      this.schedule(REFRESH_MS);
    }
  }

  private writeFailed(reason: string): void {
    this.schedule(WRITE_EVERY_MS);
    // The name of the temporary file is another one each time.
    const kind = reason.replace(/\.\d+\.[0-9a-f]{12}\.tmp/g, '');
    if (kind === this.lastFailure) return;
    this.lastFailure = kind;
    this.deps.log.warn(
      `discovery.snapshotFile ${this.name} cannot be written, and is tried again: ${quote(kind, 500)}`,
    );
  }

  private async load(): Promise<void> {
    try {
      await removeAbandoned(this.path);
      await this.read();
    } catch (error) {
      if (error instanceof UnusableSnapshot && !error.replaceable) this.writable = false;
      const remedy = this.writable
        ? 'it is written anew when etcd has answered'
        : 'it is not written either: remove it or give each application a file of its own';
      this.deps.log.warn(`discovery.snapshotFile ${this.name} is not used: ${messageOf(error)}; ${remedy}`);
    } finally {
      this.early = undefined;
    }
  }

  private async read(): Promise<void> {
    const text = await readSnapshot(this.path);
    if (!text) return;
    const lines = linesOf(text.content);
    const first = lines.next();
    this.assertOurs(first.done ? undefined : decodeHeader(first.value));
    const decoder = new SnapshotDecoder(this.deps.namespace, this.deps.reader);
    let turn = 0;
    for (const line of lines) {
      decoder.read(line);
      turn += 1;
      if (turn % INSTANCES_PER_TURN === 0) await setImmediate();
    }
    this.take(decoder, text.warning);
  }

  private assertOurs(header: SnapshotHeader | undefined): void {
    const { namespace, endpoints } = this.deps;
    if (!header) throw new UnusableSnapshot('it has no header', true);
    if (header.namespace !== namespace) {
      throw new UnusableSnapshot(`it is of namespace ${quote(header.namespace)}, not of ${quote(namespace)}`, false);
    }
    if (!header.endpoints.some((endpoint) => endpoints.includes(endpoint))) {
      const theirs = header.endpoints.slice(0, 3).map((endpoint) => quote(endpoint));
      throw new UnusableSnapshot(`it is of another etcd (${theirs.join(', ')})`, true);
    }
  }

  private take({ services, skipped }: SnapshotDecoder, warning: string | undefined): void {
    const tooOld: number[] = [];
    for (const [service, { asOf, instances }] of services) {
      if (this.early?.has(service) || instances.length === 0) continue;
      const entry: Entry = { instances, asOf, live: false };
      if (this.isFresh(entry)) this.entries.set(service, entry);
      else tooOld.push(asOf);
    }
    const oldest = tooOld.length > 0 ? ageOf(new Date(Math.min(...tooOld)), this.wallClock()) : '';
    const remarks = [
      ...(warning === undefined ? [] : [warning]),
      ...(skipped > 0 ? [`${skipped} of its entries cannot be read or are not allowed, and are left out`] : []),
      ...(oldest ? [`${tooOld.length} of its services are too old to be used (up to ${oldest}, more than 7 d)`] : []),
    ];
    if (remarks.length > 0) this.deps.log.warn(`discovery.snapshotFile ${this.name}: ${remarks.join('; ')}`);
  }

  private get name(): string {
    return quote(this.path, 1_024);
  }

  private async patiently(work: Promise<void>): Promise<void> {
    let cancel: () => void = () => {};
    const late = new Promise<void>((done) => (cancel = this.deps.clock.after(PATIENCE_MS, done)));
    await Promise.race([work, late]);
    cancel();
  }
}

function* linesOf(content: Buffer): Generator<string> {
  for (let at = 0; at < content.length;) {
    const end = content.indexOf(10, at);
    const to = end < 0 ? content.length : end;
    yield content.toString('utf8', at, to);
    at = to + 1;
  }
}
