import type { EtcdClient, EtcdKeyValue } from '../etcd/etcd-client.js';
import { isEtcdFailure } from '../etcd/etcd-status.js';
import { sleep } from '../utils/abort.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { describeHolder, holderAddress } from './key-holder.js';
import { type Lease, writeReplyMs } from './lease.js';
import type { LeaseSession } from './lease-session.js';
import type { LeftoverKeys } from './leftover-keys.js';
import { messageOf } from '../utils/message-of.js';
import { claimKey, releaseKey } from './own-key.js';
import type { RegistrationSpec } from './registration-state.js';
import { isOutage, RetryDelay } from './retry-delay.js';
import type { Standing } from './standing.js';

/** The draining mark and the removal may take so much each, ms. */
const RELEASE_CALL_MS = 1_500;
/** For so long after a put that was not answered it may still be applied, ms: etcd drops requests past their deadline. */
const UNSETTLED_MS = 10_000;

export type PutOutcome =
  | {
      readonly type: 'written';
      readonly standing: Standing;
      /** What was there before. */ readonly replaced?: EtcdKeyValue;
    }
  | { readonly type: 'held'; readonly revision: number; readonly reason: string }
  /** Not written; the time to try again has come, once the gate is open. */
  | { readonly type: 'failed' };

export interface KeyWriterDeps {
  readonly etcd: EtcdClient;
  readonly session: LeaseSession;
  readonly leftovers: LeftoverKeys;
  readonly key: string;
  readonly spec: RegistrationSpec;
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Ends every wait. */
  readonly leaving: AbortSignal;
  /** Ends a put in flight. */
  readonly abandon: AbortSignal;
  /** A put was answered or failed; `trouble` says why it failed. */
  attempted(trouble?: string): void;
}

/** All writes of one registration's key, and what has to be remembered about them. Used by one loop, one call at a time. */
export class KeyWriter {
  private readonly retry: RetryDelay;
  private writeCount = 0;
  /** The lease of the last put that was sent, answered or not. */
  private putUnder?: string;
  private unsettledUntil = -Infinity;
  private warnedRefusal = false;

  constructor(private readonly deps: KeyWriterDeps) {
    this.retry = new RetryDelay(deps.random);
  }

  /** Changes when a put begins and when it ends: what was read in between may be older than what was written. */
  get epoch(): number {
    return this.writeCount;
  }

  /**
   * Puts the value under the lease, over whatever is ours: keys under a lease of this process, keys with a generated id,
   * and with `takeOver` what carries the same id and the same address (its process is gone).
   */
  async put(value: string, lease: Lease, expectedModRevision: number, takeOver: boolean): Promise<PutOutcome> {
    const { etcd, session, clock, key, spec } = this.deps;
    const own = holderAddress(spec.record, { value: Buffer.from(value) });
    const mayReplace = (holder: EtcdKeyValue) =>
      session.owns(holder.lease) || !spec.idGiven || (takeOver && holderAddress(spec.record, holder) === own);
    this.putUnder = lease.id;
    this.writeCount++;
    let failure: unknown;
    try {
      const call = { timeoutMs: writeReplyMs(lease.ttlSeconds, lease.crowded), signal: this.deps.abandon };
      const outcome = await claimKey(etcd, { key, value, lease: lease.id, expectedModRevision, mayReplace }, call);
      if (outcome.type !== 'contended') {
        this.retry.reset();
        this.warnedRefusal = false;
        this.deps.attempted();
        if (outcome.type === 'held') {
          const reason = `held by ${describeHolder(spec.record, outcome.holder)}`;
          return { type: 'held', revision: outcome.revision, reason };
        }
        const { revision, modRevision, replaced } = outcome;
        return {
          type: 'written',
          standing: { revision, modRevision, lease: lease.id, value },
          ...(replaced && { replaced }),
        };
      }
      failure = new Error('the key is being changed by somebody else all the time');
    } catch (error) {
      failure = error;
    } finally {
      this.writeCount++;
    }
    this.noteFailure(failure);
    if (isEtcdFailure(failure, 'lease-not-found')) {
      session.reportGone(lease);
    } else {
      await sleep(clock, this.retry.nextDelayMs(failure), this.deps.leaving);
    }
    return { type: 'failed' };
  }

  private noteFailure(failure: unknown): void {
    this.deps.attempted(messageOf(failure));
    if (isEtcdFailure(failure, 'lease-not-found')) return;
    if (isOutage(failure)) {
      this.unsettledUntil = this.deps.clock.now() + UNSETTLED_MS;
    } else if (!this.warnedRefusal) {
      this.warnedRefusal = true;
      this.deps.log.warn(`${this.deps.name}: etcd refuses the key: ${messageOf(failure)}. Trying on.`);
    }
  }

  /**
   * Draining mark and removal, done by `deadline`. Returns why etcd could not be told, if so; the removal then goes on
   * behind the scenes for as long as the process keeps its lease.
   */
  async release(drainingValue: string, deadline: number): Promise<string | undefined> {
    const { etcd, session, leftovers, clock, key, log, name, spec } = this.deps;
    const lease = this.putUnder;
    if (!lease) return undefined;
    const outcome = etcd.gate.state.open
      ? await releaseKey(etcd, {
          key,
          lease,
          drainingValue,
          owns: (id) => session.owns(id),
          callTimeoutMs: () => Math.min(RELEASE_CALL_MS, deadline - clock.now()),
        })
      : ({ type: 'failed', error: new Error(session.trouble) } as const);
    const unsettled = clock.now() < this.unsettledUntil;
    if (outcome.type === 'failed' || unsettled) leftovers.add(key, lease, unsettled);
    else leftovers.wasRemoved(key, lease);
    if (outcome.type === 'failed') {
      const reason = `etcd could not be told: ${messageOf(outcome.error)}; the key goes when etcd answers, or with its lease`;
      log.warn(`${name}: left, but ${reason}.`);
      return reason;
    }
    const how = {
      deleted: outcome.type === 'deleted' && outcome.unmarked ? `, unmarked: ${messageOf(outcome.unmarked)}` : '',
      absent: '; the key was gone already',
      foreign:
        outcome.type === 'foreign' ? `; the key stays, ${describeHolder(spec.record, outcome.holder)} holds it` : '',
    };
    log.log(`${name}: left${how[outcome.type]}.`);
    return undefined;
  }
}
