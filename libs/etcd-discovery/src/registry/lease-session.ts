import type { EtcdClient } from '../etcd/etcd-client.js';
import { isEtcdFailure } from '../etcd/etcd-status.js';
import { sleep } from '../utils/abort.js';
import { Backoff } from '../utils/backoff.js';
import { systemClock, type Clock, type Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { leaseHex, tightReplyMs, writeReplyMs, MAX_REPLY_MS } from './lease.js';
import type { Lease, LeaseEvent, LeaseSessionState } from './lease.js';
import { untilNextBeat } from './lease-beat.js';
import { revokeLease } from './lease-revoke.js';
import { messageOf } from '../utils/message-of.js';
import { RecentSet } from './recent-set.js';
import { isOutage, RetryDelay } from './retry-delay.js';
import { settledWithin } from './within.js';

/** etcd grants no less with its default election settings. */
const MIN_TTL_SECONDS = 2;
/** How long `close()` lets a request in flight finish before it is abandoned, ms. */
const CLOSE_GRACE_MS = 1_000;
/** Leases whose keys are still recognised as our own; a key never outlives its lease by more than a restore. */
const MAX_REMEMBERED = 64;
/** Over this time those who lost their leases in the same outage get new ones, ms. */
const CROWD_SPREAD_MS = 1_000;
/** What the revoke may take when etcd is known not to answer, ms: enough for one that has just come back. */
const HOPELESS_REVOKE_MS = 500;

/**
 * The one lease of a process that registers. Granted at `start()`, renewed every TTL/3 ±10 % with a reply deadline of
 * min(2 s, TTL/5), and kept as long as etcd has it, however long etcd was away: it is granted anew only when etcd says
 * that it is gone. While etcd is away it waits at the connectivity gate, and renews as soon as that opens; if the lease
 * did not survive, the new one is asked for U(0, 1 s) later, because every other process has lost its own just now. It
 * never gives up and never throws.
 */
export class LeaseSession {
  private readonly etcd: EtcdClient;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly log: Log;
  private readonly listeners = new Set<(event: LeaseEvent) => void>();
  private readonly retry: RetryDelay;
  /** Leases that die young (revoked again and again) are not granted in a hot loop. */
  private readonly relapse: Backoff;
  private current: LeaseSessionState = { kind: 'idle' };
  private wantedTtlSeconds = Infinity;
  private generation = 0;
  private readonly owned = new RecentSet<string>(MAX_REMEMBERED);
  /** Left for one with a shorter TTL: they end by themselves, or at `close()`. */
  private readonly superseded = new Set<string>();
  private failure?: unknown;
  private warned = false;
  /** etcd answers, but later than the deadline of TTL/5: wait for up to TTL/3 until it is quick again. */
  private slow = false;
  /** etcd was away since the lease was last confirmed: whoever loses it now loses it together with everybody else. */
  private interrupted = false;
  private cancelOverdue?: () => void;
  private readonly closing = new AbortController();
  private readonly abandon = new AbortController();
  private tenure = new AbortController();
  private lastEnd?: string;
  private running?: Promise<void>;
  private closed?: Promise<void>;

  constructor(deps: { etcd: EtcdClient; clock?: Clock; random?: Random; log: Log }) {
    this.etcd = deps.etcd;
    this.clock = deps.clock ?? systemClock;
    this.random = deps.random ?? Math.random;
    this.log = deps.log;
    this.retry = new RetryDelay(this.random);
    this.relapse = new Backoff({ initialMs: 50, maxMs: 500 }, this.random);
  }

  get state(): LeaseSessionState {
    return this.current;
  }

  /** The lease to put keys under; undefined while there is none, or while it may be gone. */
  get lease(): Lease | undefined {
    if (this.current.kind !== 'held' || this.current.overdue || this.tenure.signal.aborted) return undefined;
    return this.current.lease;
  }

  /** Why keys under the lease of before cannot be relied on any more. */
  get lossReason(): string {
    if (this.current.kind !== 'held' || !this.current.overdue) return this.lastEnd ?? 'there is no lease';
    const { trouble } = this;
    return `no renewal was confirmed within the TTL${trouble ? ` (${trouble})` : ''}; the key may have expired`;
  }

  /** Why there is no usable lease, for messages; undefined when there is nothing to say. */
  get trouble(): string | undefined {
    const gate = this.etcd.gate.state;
    if (!gate.open)
      return `etcd at ${this.etcd.endpoint} is not reachable${gate.error ? `: ${gate.error.message}` : ''}`;
    return this.failure === undefined ? undefined : `etcd at ${this.etcd.endpoint}: ${messageOf(this.failure)}`;
  }

  /** True for the leases this session holds or has held lately. */
  owns(lease: string): boolean {
    return this.owned.has(lease);
  }

  /** True for a lease that was left for one with a shorter TTL: keys under it live on until they have moved. */
  isSuperseded(lease: string): boolean {
    return this.superseded.has(lease);
  }

  onEvent(listener: (event: LeaseEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Starts the session, or lowers its TTL: the smallest one asked for holds. A lease already granted for longer is
   * replaced by a new one, and every key moves over.
   */
  start(ttlMs: number): void {
    const seconds = Math.max(MIN_TTL_SECONDS, Math.ceil(ttlMs / 1_000));
    if (this.closing.signal.aborted || seconds >= this.wantedTtlSeconds) return;
    this.wantedTtlSeconds = seconds;
    if (this.current.kind === 'held' && this.current.lease.ttlSeconds > seconds) {
      this.superseded.add(this.current.lease.id);
      this.endTenure('a registration with a shorter TTL was added');
    }
    // Later, so that registrations made in one go agree on the smallest TTL before the first grant.
    this.running ??= Promise.resolve().then(() => this.run());
  }

  /** A request under `lease` was answered "lease not found". Ignored unless it is the current one. */
  reportGone(lease: Lease): void {
    if (this.current.kind !== 'held' || this.current.lease.generation !== lease.generation) return;
    this.endTenure('etcd does not know it any more');
  }

  /**
   * Revokes what is held, within `boundMs` (0.5 s to 2 s), after at most 1 s for a grant in flight. Idempotent; never
   * rejects.
   */
  close(boundMs = MAX_REPLY_MS): Promise<void> {
    return (this.closed ??= this.doClose(boundMs));
  }

  private async doClose(boundMs: number): Promise<void> {
    this.closing.abort();
    this.tenure.abort();
    this.cancelOverdue?.();
    // A grant whose answer is not read leaves a lease behind.
    if (this.running && !(await settledWithin(this.clock, this.running, CLOSE_GRACE_MS))) this.abandon.abort();
    const ids = [...this.superseded];
    if (this.current.kind === 'held') ids.push(this.current.lease.id);
    this.current = { kind: 'closed' };
    this.listeners.clear();
    const hopeful = Math.max(HOPELESS_REVOKE_MS, Math.min(MAX_REPLY_MS, boundMs));
    const { etcd, clock, log } = this;
    const timeoutMs = etcd.gate.state.open ? hopeful : HOPELESS_REVOKE_MS;
    await Promise.all(ids.map((id) => revokeLease({ etcd, clock, log }, id, timeoutMs)));
  }

  private async run(): Promise<void> {
    const { clock, etcd, closing } = this;
    const unsubscribe = etcd.gate.onChange(({ open }) => (this.interrupted ||= !open));
    while (!closing.signal.aborted) {
      const lease = await this.grant();
      if (!lease) break;
      const grantedAt = clock.now();
      await this.keep(lease);
      if (closing.signal.aborted) break;
      this.lose(lease);
      if (clock.now() - grantedAt >= 1_000) this.relapse.reset();
      else await sleep(clock, this.relapse.nextDelayMs(), closing.signal);
      if (this.interrupted) await sleep(clock, this.random() * CROWD_SPREAD_MS, closing.signal);
    }
    unsubscribe();
  }

  private async grant(): Promise<Lease | undefined> {
    this.current = { kind: 'granting' };
    while (!this.closing.signal.aborted) {
      await this.etcd.gate.whenOpen(this.closing.signal);
      if (this.closing.signal.aborted) return undefined;
      const sentAt = this.clock.now();
      const asked = this.wantedTtlSeconds;
      const crowded = this.interrupted;
      try {
        const { id, ttl } = await this.etcd.grantLease(asked, {
          timeoutMs: writeReplyMs(asked, crowded),
          signal: this.abandon.signal,
        });
        this.owned.add(id);
        if (this.wantedTtlSeconds < asked) {
          this.superseded.add(id);
          continue;
        }
        const lease: Lease = { id, ttlSeconds: ttl, generation: ++this.generation, crowded };
        this.tenure = new AbortController();
        this.confirm(lease, sentAt, 'granted');
        return lease;
      } catch (error) {
        await this.failed(error, this.closing.signal);
      }
    }
    return undefined;
  }

  /** Renews until the lease is gone, replaced or the session closes. */
  private async keep(lease: Lease): Promise<void> {
    const { signal } = this.tenure;
    while (!signal.aborted && !this.closing.signal.aborted) {
      await untilNextBeat({ gate: this.etcd.gate, clock: this.clock, random: this.random }, lease.ttlSeconds, signal);
      for (let attempt = 0; !signal.aborted; attempt++) {
        await this.etcd.gate.whenOpen(signal);
        if (signal.aborted) return;
        const sentAt = this.clock.now();
        try {
          const { ttl } = await this.etcd.keepAliveLease(lease.id, { timeoutMs: this.replyMs(lease, attempt), signal });
          if (signal.aborted) return;
          if (ttl <= 0) return this.endTenure('it ran out before it was renewed');
          this.slow = this.clock.now() - sentAt > tightReplyMs(lease);
          this.confirm(lease, sentAt, 'renewed');
          break;
        } catch (error) {
          if (signal.aborted) return;
          if (isEtcdFailure(error, 'lease-not-found')) return this.endTenure('etcd does not know it any more');
          // The first failure costs nothing but its deadline: the next attempt goes to the next endpoint at once.
          await this.failed(error, signal, attempt === 0 ? 0 : (lease.ttlSeconds * 1_000) / 3);
        }
      }
    }
  }

  /**
   * Two tight attempts leave room for two other endpoints within the TTL. When neither answered in time, a reply that
   * comes late is better than none; so it is when etcd has just come back and everybody connects anew, and all the more
   * for a lease that has run out, for all we know.
   */
  private replyMs(lease: Lease, attempt: number): number {
    const patientMs = (lease.ttlSeconds * 1_000) / 3;
    if (this.current.kind === 'held' && this.current.overdue) return Math.max(patientMs, MAX_REPLY_MS);
    return this.slow || this.interrupted || attempt >= 2 ? patientMs : tightReplyMs(lease);
  }

  private confirm(lease: Lease, sentAt: number, type: 'granted' | 'renewed'): void {
    this.current = { kind: 'held', lease, overdue: false };
    if (this.warned) this.log.log(`lease ${leaseHex(lease.id)} is ${type} after all.`);
    this.warned = false;
    this.failure = undefined;
    this.interrupted = false;
    this.retry.reset();
    this.cancelOverdue?.();
    // Counted from the sending: etcd counts from when it got the request, which is later.
    const left = lease.ttlSeconds * 1_000 - (this.clock.now() - sentAt);
    if (!this.closing.signal.aborted)
      this.cancelOverdue = this.clock.after(Math.max(0, left), () => this.overdue(lease));
    this.emit({ type, lease });
  }

  private overdue(lease: Lease): void {
    if (this.current.kind !== 'held' || this.current.lease !== lease) return;
    this.current = { kind: 'held', lease, overdue: true };
    this.emit({ type: 'overdue', lease });
  }

  private lose(lease: Lease): void {
    this.cancelOverdue?.();
    this.current = { kind: 'granting' };
    const reason = this.lastEnd ?? 'unknown';
    if (this.superseded.has(lease.id)) this.log.debug(`${reason}.`);
    else this.log.warn(`${reason}. A new one is being granted.`);
    this.emit({ type: 'lost', lease, reason });
  }

  private endTenure(reason: string): void {
    if (this.current.kind !== 'held' || this.tenure.signal.aborted) return;
    this.lastEnd = `lease ${leaseHex(this.current.lease.id)} ended: ${reason}`;
    this.tenure.abort();
  }

  private async failed(error: unknown, signal: AbortSignal, maxDelayMs = Infinity): Promise<void> {
    this.failure = error;
    // An outage is the gate's to report, once for the whole process.
    if (!this.warned && !isOutage(error)) {
      this.warned = true;
      const what = this.current.kind === 'held' ? 'renewed' : 'granted';
      this.log.warn(`The lease cannot be ${what}: ${messageOf(error)}. Trying on.`);
    }
    this.emit({ type: 'failed' });
    await sleep(this.clock, Math.min(maxDelayMs, this.retry.nextDelayMs(error)), signal);
  }

  private emit(event: LeaseEvent): void {
    for (const listener of this.listeners) {
      try {
        listener(event);
      } catch (error) {
        this.log.error(`A listener of the lease threw: ${messageOf(error)}`);
      }
    }
  }
}
