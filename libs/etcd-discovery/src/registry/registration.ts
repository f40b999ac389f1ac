import { RegistrationConflictError, type EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { EtcdClient } from '../etcd/etcd-client.js';
import { sleep } from '../utils/abort.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { ComeBack } from './come-back.js';
import { Departure } from './departure.js';
import { holderAddress } from './key-holder.js';
import { KeyWriter, type PutOutcome } from './key-writer.js';
import { leaseHex, type Lease } from './lease.js';
import type { LeaseSession } from './lease-session.js';
import type { LeftoverKeys } from './leftover-keys.js';
import { messageOf } from '../utils/message-of.js';
import { OwnKeyWatch, type KeySighting } from './own-key.watch.js';
import type { RegistrationPatch, RegistrationSpec, RegistrationState } from './registration-state.js';
import { isLoss, judge, type Loss, type Standing } from './standing.js';
import { StatusBoard } from './status-board.js';
import { Wakeup } from './wakeup.js';
import { WantedRecord } from './wanted-record.js';

/** A defect of ours is not repeated in a hot loop, ms. */
const DEFECT_PAUSE_MS = 1_000;
/** How often a key held by somebody else is looked at, ms ±50 %. */
const HELD_POLL_MS = 3_000;

/** What the state machine carries from state to state; each is served by one method. */
type Phase =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'registering' }
  | { readonly kind: 'registered'; readonly standing: Standing }
  | { readonly kind: 'lost'; readonly loss: Loss; readonly reason: string }
  | { readonly kind: 'draining'; readonly reason?: string }
  | { readonly kind: 'stopped'; readonly reason?: string };

export interface RegistrationDeps {
  readonly etcd: EtcdClient;
  readonly session: LeaseSession;
  readonly leftovers: LeftoverKeys;
  readonly key: string;
  /** Of the keys of the whole service, ends in `/`. */
  readonly prefix: string;
  readonly spec: RegistrationSpec;
  /** Nothing is written before this resolves: an earlier registration of the same key is still leaving. */
  readonly predecessor?: Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `state` is another object than before. */
  changed(): void;
}

/**
 * One key in etcd, kept true: written once there is a lease, put again whenever it is gone, rewritten when the record
 * or the lease changes, and taken out on `leave()`. One loop does all of it, so that no two attempts ever run side by
 * side; everything that happens only wakes it up to look again.
 */
export class Registration {
  /** See `RegistrationTicket.done`. */
  readonly done: Promise<void>;
  /** Resolves when `stopped` is reached. Never rejects. */
  readonly stopped: Promise<void>;
  private readonly name: string;
  private readonly status: StatusBoard;
  private readonly wakeup: Wakeup;
  private readonly watch: OwnKeyWatch;
  private readonly writer: KeyWriter;
  private readonly comeBack: ComeBack;
  private readonly departure: Departure;
  private readonly wanted: WantedRecord;
  private resolveDone!: () => void;
  private rejectDone!: (error: Error) => void;
  private sighting?: KeySighting;
  private warnedHolder?: string;

  constructor(private readonly deps: RegistrationDeps) {
    const { clock, spec } = deps;
    const { service, id } = spec.record;
    this.name = `${service}/${id}`;
    this.wanted = new WantedRecord(spec.record);
    this.departure = new Departure(clock);
    this.status = new StatusBoard({ service, id }, () => deps.changed());
    this.done = new Promise((resolve, reject) => {
      this.resolveDone = resolve;
      this.rejectDone = reject;
    });
    // Whoever does not wait for it must not be crashed by it.
    this.done.catch(() => {});
    this.wakeup = new Wakeup(clock);
    this.comeBack = new ComeBack(deps);
    this.writer = new KeyWriter({
      ...deps,
      name: this.name,
      leaving: this.departure.signal,
      abandon: this.departure.abandon,
      attempted: (trouble) => {
        this.status.explain(trouble);
        this.wanted.settle();
      },
    });
    this.watch = new OwnKeyWatch({
      ...deps,
      epoch: () => this.writer.epoch,
      seen: (sighting) => {
        this.sighting = sighting;
        this.wakeup.signal();
      },
    });
    this.stopped = this.run();
  }

  get state(): RegistrationState {
    return this.status.current;
  }

  get isLeaving(): boolean {
    return this.departure.begun;
  }

  /**
   * Changes the record. Resolves when the new value is in etcd, or at once while the registration is not there (it then
   * goes out with the next put), or when the first attempt fails (then it is tried on).
   */
  update(patch: RegistrationPatch): Promise<void> {
    this.wanted.change(patch);
    if (this.status.current.state !== 'registered' || this.isLeaving) return Promise.resolve();
    const written = this.wanted.settled();
    this.wakeup.signal();
    return written;
  }

  /** Leaves etcd, within 4 s whatever happens. `why` rejects `done` if that is still open. Idempotent. */
  leave(why: EtcdDiscoveryError): Promise<void> {
    if (!this.isLeaving) {
      this.rejectDone(why);
      this.departure.begin();
      this.wakeup.signal();
    }
    return this.stopped;
  }

  private async run(): Promise<void> {
    const unsubscribe = this.deps.session.onEvent(() => this.wakeup.signal());
    // Later, so that the registrar knows this registration before its first change.
    await Promise.resolve();
    if (this.deps.predecessor) this.status.explain('an earlier registration of this id is still leaving');
    await this.deps.predecessor;
    await this.deps.leftovers.forget(this.deps.key);
    let phase: Phase = { kind: 'waiting' };
    while (phase.kind !== 'stopped') {
      try {
        phase = await this.step(phase);
        this.enter(phase);
      } catch (error) {
        // A defect of ours must cost neither the process nor the registration.
        this.deps.log.error(`${this.name}: ${messageOf(error)}; trying on.`);
        if (phase.kind === 'draining') this.enter((phase = { kind: 'stopped', reason: messageOf(error) }));
        else await sleep(this.deps.clock, DEFECT_PAUSE_MS, this.departure.signal);
      }
    }
    unsubscribe();
    this.departure.end();
    this.wanted.settle();
  }

  private step(phase: Exclude<Phase, { kind: 'stopped' }>): Promise<Phase> {
    if (phase.kind === 'waiting') return this.waiting();
    if (phase.kind === 'registering') return this.claim({ takeOver: true });
    if (phase.kind === 'registered') return this.registered(phase.standing);
    if (phase.kind === 'lost') return this.lost(phase.loss);
    return this.draining(phase satisfies Phase & { kind: 'draining' });
  }

  private async waiting(): Promise<Phase> {
    while (!this.isLeaving) {
      if (this.deps.session.lease) return { kind: 'registering' };
      this.status.explain(this.deps.session.trouble);
      await this.wakeup.wait();
    }
    return { kind: 'draining' };
  }

  /** Serves `registering` and `lost`: until the key stands, or we leave. */
  private async claim({ takeOver }: { takeOver: boolean }): Promise<Phase> {
    const { session, spec, random } = this.deps;
    while (!this.isLeaving) {
      const lease = session.lease;
      if (!lease) {
        this.status.explain(session.trouble ?? this.status.current.reason);
        await this.wakeup.wait();
        continue;
      }
      const outcome = await this.writer.put(this.wanted.value, lease, 0, takeOver);
      if (outcome.type === 'written') return this.wrote(outcome, lease);
      if (outcome.type === 'failed') {
        await this.deps.etcd.gate.whenOpen(this.departure.signal);
        continue;
      }
      if (takeOver && spec.failFast) return this.conflict(outcome.reason);
      this.status.explain(outcome.reason);
      if (this.warnedHolder !== outcome.reason) {
        this.warnedHolder = outcome.reason;
        this.deps.log.warn(`${this.name}: ${outcome.reason}; waiting until that lease ends.`);
      }
      // The watch tells when the key goes; the poll is for a watch that cannot be had.
      this.watch.follow(outcome.revision);
      await this.wakeup.wait(HELD_POLL_MS * (0.5 + random()));
    }
    return { kind: 'draining' };
  }

  private conflict(held: string): Phase {
    const error = new RegistrationConflictError(
      `${this.name} is ${held}. Stop that process, or give this one another id, or none.`,
    );
    void this.leave(error);
    return { kind: 'draining', reason: error.message };
  }

  private wrote({ standing, replaced }: PutOutcome & { type: 'written' }, lease: Lease): Phase {
    const { log, session } = this.deps;
    this.watch.follow(standing.revision);
    this.comeBack.succeeded();
    this.warnedHolder = undefined;
    const address = holderAddress(this.wanted.current, { value: Buffer.from(standing.value) });
    const from = replaced && !session.owns(replaced.lease) ? `, taken over from lease ${leaseHex(replaced.lease)}` : '';
    const back = this.status.current.state === 'lost' ? 'back' : 'registered';
    log.log(`${this.name}: ${back} at ${address} (lease ${leaseHex(lease.id)}, TTL ${lease.ttlSeconds} s${from}).`);
    return { kind: 'registered', standing };
  }

  private async registered(initial: Standing): Promise<Phase> {
    const { session } = this.deps;
    let standing = initial;
    while (!this.isLeaving) {
      const { sighting } = this;
      this.sighting = undefined;
      if (sighting) {
        const seen = judge(standing, sighting, this.writer.epoch, (lease) => session.owns(lease));
        if (isLoss(seen)) return lostBy(seen);
        standing = seen;
      }
      const lease = session.lease;
      if (!lease && !session.isSuperseded(standing.lease)) return lostBy({ how: 'lease', reason: session.lossReason });
      const isCurrent = lease?.id === standing.lease && this.wanted.value === standing.value;
      // While etcd is away nothing is written, but the lease may run out; the renewal that finds etcd back wakes us.
      if (!lease || isCurrent || !this.deps.etcd.gate.state.open) {
        this.wanted.settle();
        await this.wakeup.wait();
        continue;
      }
      const outcome = await this.writer.put(this.wanted.value, lease, standing.modRevision, false);
      if (outcome.type === 'held') return lostBy({ how: 'changed', reason: outcome.reason });
      if (outcome.type === 'written') standing = outcome.standing;
    }
    return { kind: 'draining' };
  }

  private async lost(loss: Loss): Promise<Phase> {
    await this.comeBack.due(loss, this.departure.signal);
    return this.claim({ takeOver: false });
  }

  private async draining({ reason }: Phase & { kind: 'draining' }): Promise<Phase> {
    this.watch.close();
    const untold = await this.writer.release(this.wanted.drainingValue, this.departure.deadline);
    const why = reason ?? untold;
    return { kind: 'stopped', ...(why !== undefined && { reason: why }) };
  }

  private enter(phase: Phase): void {
    const reason = 'reason' in phase ? phase.reason : undefined;
    if (phase.kind === 'lost') this.deps.log.warn(`${this.name}: lost: ${reason}. Putting it back.`);
    this.status.enter(phase.kind, reason);
    // After the state, so that whoever waited reads what it waited for.
    if (phase.kind === 'registered') this.resolveDone();
  }
}

const lostBy = (loss: Loss): Phase => ({ kind: 'lost', loss, reason: loss.reason });
