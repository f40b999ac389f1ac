import { sleep } from '../utils/abort.js';
import { type Clock, type Random, systemClock } from '../utils/clock.js';
import { EtcdState, type Identity, randomId } from './embedded/etcd.state.js';
import { GrpcServer } from './embedded/grpc.server.js';
import { keyBytes } from './embedded/key-index.js';
import { TcpRelay } from './embedded/tcp.relay.js';

/** etcd's default: every 10 minutes. */
const PROGRESS_NOTIFY_INTERVAL_MS = 10 * 60_000;
/** The longest delay a Node timer takes, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const NO_END = Buffer.alloc(0);
const OPEN_END = Buffer.from([0]);

export interface EmbeddedEtcdOptions {
  /** TCP port; 0 or absent: a free one. */
  readonly port?: number;
  /** Address to listen on, `127.0.0.1` by default. There is no authentication: think before you listen elsewhere. */
  readonly host?: string;
  /** How often a watch with `progress_notify` is told where it stands, ms; 10 minutes as in etcd by default. */
  readonly progressNotifyIntervalMs?: number;
  /** Time for leases and progress notifications; the system's by default. */
  readonly clock?: Clock;
  /** Randomness for ids; `Math.random` by default. */
  readonly random?: Random;
}

export type EmbeddedEtcdStatus = 'running' | 'paused' | 'stopped' | 'closed';

/** A lease as `EmbeddedEtcd.leases()` shows it. */
export interface EmbeddedLease {
  /** Decimal, as the gRPC API has it; `etcdctl` prints it in hexadecimal. */
  readonly id: string;
  /** As granted, seconds. */
  readonly ttlSeconds: number;
  /** Until it ends, ms. */
  readonly remainingMs: number;
  readonly keys: readonly string[];
}

/**
 * An etcd v3 of one member inside this process, over real gRPC, for tests and demonstrations: key space, transactions,
 * leases, watches and compaction behave as those of etcd 3.4, field by field, so any client and `etcdctl` work on it.
 * Nothing is written to disk. Authentication, snapshots and membership changes are refused with UNIMPLEMENTED.
 *
 * ```ts
 * await using etcd = await EmbeddedEtcd.start();
 * // connect to etcd.endpoint, then make trouble:
 * etcd.pause();                         // connections stay open, nobody answers
 * etcd.resume();
 * await etcd.restart({ downMs: 500 });  // same data, same port
 * ```
 */
export class EmbeddedEtcd implements AsyncDisposable {
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly identity: Identity;
  private state: EtcdState;
  private server: GrpcServer | undefined;
  private readonly relay = new TcpRelay();
  private current: EmbeddedEtcdStatus = 'stopped';
  private boundPort: number;
  private readonly closing = new AbortController();
  /** Starts and stops run one after the other, in the order they were asked for. */
  private queue: Promise<void> = Promise.resolve();

  private constructor(private readonly options: EmbeddedEtcdOptions) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.boundPort = options.port ?? 0;
    this.identity = { clusterId: randomId(this.random), memberId: randomId(this.random), raftTerm: 1 };
    this.state = new EtcdState(this.identity, this.clock);
    this.state.leases.suspend();
  }

  /**
   * Starts an empty etcd and resolves when it accepts connections.
   *
   * @throws Error when the port cannot be listened on; the system's error is its cause
   */
  static async start(options: EmbeddedEtcdOptions = {}): Promise<EmbeddedEtcd> {
    const etcd = new EmbeddedEtcd(options);
    await etcd.start();
    return etcd;
  }

  get host(): string {
    return this.options.host ?? '127.0.0.1';
  }

  /** The port it listens on; it stays the same over `stop`, `restart` and `wipe`. */
  get port(): number {
    return this.boundPort;
  }

  /** `host:port`, to be used as an endpoint. */
  get endpoint(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  get status(): EmbeddedEtcdStatus {
    return this.current;
  }

  /** The revision of the last change; 1 when nothing was ever written. */
  get revision(): number {
    return this.state.kv.revision;
  }

  /** The keys that exist now, in order; only those that start with `prefix` when it is given. Works in any status. */
  keys(prefix = ''): string[] {
    const start = Buffer.from(prefix);
    const { kvs } = this.state.kv.range(start, OPEN_END);
    return kvs.filter(({ key }) => key.subarray(0, start.length).equals(start)).map(({ key }) => key.toString());
  }

  /** The value of one key as text, undefined when there is none. Works in any status. */
  value(key: string): string | undefined {
    return this.state.kv.range(Buffer.from(key), NO_END).kvs[0]?.value.toString();
  }

  /** The leases that exist now, the one that ends first comes first. Works in any status. */
  leases(): EmbeddedLease[] {
    return this.state.leases.list().map((lease) => ({
      id: lease.id,
      ttlSeconds: lease.ttl,
      remainingMs: this.state.leases.remainingMs(lease),
      keys: [...lease.keys].sort().map((key) => keyBytes(key).toString()),
    }));
  }

  /**
   * Ends a lease now, as if its time had run out: its keys go in one revision.
   *
   * @param id decimal, as in `leases()`
   * @throws EtcdStatusError NOT_FOUND when there is no such lease
   */
  expireLease(id: string | bigint): void {
    this.state.leases.revoke(id.toString());
  }

  /**
   * Compacts the history up to `revision`, by default the current one: older revisions can no longer be read, and a
   * watch that needs them is cancelled.
   *
   * @throws EtcdStatusError OUT_OF_RANGE when that revision is compacted already or in the future
   */
  compact(revision = this.revision): void {
    this.state.kv.compact(revision);
  }

  /**
   * Freezes it as SIGSTOP freezes a process: connections are accepted and stay open, and nothing is answered, not even
   * HTTP/2 pings. Time goes on: leases that end meanwhile expire at `resume`. Only a running etcd can be paused.
   */
  pause(): void {
    if (this.current !== 'running') return;
    this.current = 'paused';
    this.relay.pause();
    this.state.leases.suspend();
  }

  /** Goes on after `pause`: overdue leases expire first, then everything that was asked meanwhile is answered. */
  resume(): void {
    if (this.current !== 'paused') return;
    this.current = 'running';
    this.state.leases.resume();
    this.relay.resume();
  }

  /** Stops listening and drops every connection; the data stays, and no lease expires. No-op when stopped. */
  stop(): Promise<void> {
    return this.enqueue(() => this.down());
  }

  /** Starts again on the same port and data; every lease has its full TTL again. No-op when running or paused. */
  start(): Promise<void> {
    return this.enqueue(() => this.up());
  }

  /** `stop`, wait `downMs` (0 by default), `start`. */
  restart(options: { readonly downMs?: number } = {}): Promise<void> {
    return this.enqueue(async () => {
      await this.down();
      if (options.downMs) await this.rest(options.downMs);
      await this.up();
    });
  }

  /**
   * Restarts with an empty data directory: the revision is 1 again, keys and leases are gone, connections dropped. The
   * ids of cluster and member stay, as they do for a real member that starts anew with the same configuration.
   */
  wipe(): Promise<void> {
    return this.enqueue(async () => {
      const wasUp = this.current !== 'stopped';
      await this.down();
      this.identity.raftTerm = 1;
      this.state = new EtcdState(this.identity, this.clock);
      this.state.leases.suspend();
      if (wasUp) await this.up();
    });
  }

  /** Stops for good and releases ports, sockets and timers. Twice is the same as once. */
  close(): Promise<void> {
    this.closing.abort();
    return this.enqueue(async () => {
      await this.down();
      this.current = 'closed';
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private enqueue(step: () => Promise<void>): Promise<void> {
    const done = this.queue.then(() => (this.current === 'closed' ? undefined : step()));
    this.queue = done.catch(() => {});
    return done;
  }

  private async rest(ms: number): Promise<void> {
    // The clock's timers hold no process open; an etcd that is about to come back does.
    const hold = setInterval(() => {}, MAX_TIMER_MS);
    await sleep(this.clock, ms, this.closing.signal);
    clearInterval(hold);
  }

  private async down(): Promise<void> {
    if (this.current === 'stopped') return;
    this.current = 'stopped';
    this.state.leases.suspend();
    const killed = this.server?.kill();
    this.server = undefined;
    await Promise.all([killed, this.relay.close()]);
  }

  private async up(): Promise<void> {
    if (this.current !== 'stopped' || this.closing.signal.aborted) return;
    const server = new GrpcServer({
      state: this.state,
      clock: this.clock,
      random: this.random,
      progressNotifyIntervalMs: this.options.progressNotifyIntervalMs ?? PROGRESS_NOTIFY_INTERVAL_MS,
      endpoint: () => this.endpoint,
    });
    this.identity.raftTerm++;
    try {
      this.boundPort = await this.relay.listen(this.host, this.boundPort, await server.listen());
    } catch (cause) {
      await server.kill();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `The embedded etcd cannot listen on ${this.host}:${this.boundPort} (${reason}); give another port, or 0 for a free one`,
        { cause },
      );
    }
    this.server = server;
    this.current = 'running';
    this.state.leases.promote();
  }
}
