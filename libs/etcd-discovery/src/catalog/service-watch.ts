import { plainKey, servicePrefix } from '../instance/instance-key.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import type { EtcdKeyValue } from '../etcd/etcd-client.js';
import { prefixRange } from '../etcd/key-range.js';
import type { KeyReader } from './key-reader.js';
import type { LastKnown } from './last-known.js';
import { ListWatch, type ListWatchDeps } from './list-watch.js';
import { Listeners } from './listeners.js';
import { PushCoalescer } from './push-coalescer.js';
import { sameState } from './range-list.js';
import type { ServiceSnapshot, SnapshotChange, WatchHealth } from './service-catalog.js';
import type { SkippedValues } from './skipped-values.js';
import type { StandInReport } from './stand-in-report.js';
import type { DeadReason, SuspectChecks } from './suspect-checks.js';
import { SuspectReport } from './suspect-report.js';
import {
  andThen,
  applyChanges,
  applyList,
  changeOf,
  dropSuspects,
  showUnlisted,
  unknownService,
  type KeyChange,
  type KnownKey,
  type ServiceState,
  type Transition,
} from './service-state.js';

/** An etcd that is well lists within milliseconds; calls that wait for a silent one have a deadline. */
export const SILENCE_MS = 1_000;
/** When none of the stand-ins can be reached, all are tried again after this: the network may have been away too. */
const STAND_IN_RETRY_MS = 5_000;

export interface ServiceWatchDeps extends ListWatchDeps {
  readonly namespace: string;
  readonly plainKeys: boolean;
  readonly reader: KeyReader;
  readonly skipped: SkippedValues;
  readonly suspects: SuspectChecks;
  readonly suspectTimeoutMs: number;
  /** What stands in for etcd until it answers, and learns from it. */
  readonly lastKnown?: LastKnown;
  readonly standInReport: StandInReport;
}

/** A suspect that is being looked after. */
interface Watched {
  readonly instance: ServiceInstance;
  readonly end: () => void;
}

/**
 * What one process knows of one service, for all who use it. It is fed either by its own list and watch or by the watch
 * of the whole namespace, and can pass from one to the other without a gap.
 */
export class ServiceWatch {
  readonly changes: Listeners<[SnapshotChange]>;
  readonly healthChanges: Listeners<[WatchHealth]>;
  private state: ServiceState;
  /** Read, but not yet pushed. */
  private pending: KeyChange[] = [];
  /** Suspects that are let go with the next push, by key. */
  private dead = new Map<string, ServiceInstance>();
  private readonly watchedSuspects = new Map<string, Watched>();
  private readonly suspectReport: SuspectReport;
  private readonly coalescer: PushCoalescer;
  private ownFeed: ListWatch<KnownKey> | undefined;
  private currentHealth: WatchHealth = { state: 'pending', since: new Date() };
  private seen = 0;
  /** Ends the wait of a stand-in for its turn. */
  private cancelStandIn: (() => void) | undefined;
  private toldLost = false;

  constructor(
    private readonly deps: ServiceWatchDeps,
    readonly service: string,
    fixed: readonly ServiceInstance[],
  ) {
    this.state = unknownService(service, fixed);
    this.coalescer = new PushCoalescer(deps.clock, () => this.push());
    this.suspectReport = new SuspectReport(deps.log, service, deps.suspectTimeoutMs);
    this.changes = new Listeners(deps.log, `service "${service}"`);
    this.healthChanges = new Listeners(deps.log, `service "${service}"`);
  }

  get snapshot(): ServiceSnapshot | undefined {
    return this.state.snapshot;
  }

  get health(): WatchHealth {
    return this.currentHealth;
  }

  /** The revision of the latest news, pushed or not; 0 before the first list. */
  get revision(): number {
    return this.seen;
  }

  /** Whether etcd holds any key of the service, readable or not. */
  get hasKeys(): boolean {
    return this.state.keys.size > 0 || this.pending.length > 0;
  }

  get feedsItself(): boolean {
    return this.ownFeed !== undefined;
  }

  /**
   * Begins an own list and watch. What was known stays until the first list, which cannot be older: lists are
   * linearizable, and this one is asked for after everything known has arrived.
   */
  feedItself(): void {
    const { namespace, plainKeys, reader } = this.deps;
    const ranges = [prefixRange(servicePrefix(namespace, this.service))];
    // A single key beside the prefix, because one range over both would hold the neighbours `x-v2` and `x.y` too.
    if (plainKeys) ranges.push({ key: plainKey(namespace, this.service) });
    this.ownFeed = new ListWatch(this.deps, `service "${this.service}"`, ranges, {
      read: (kv) => reader.read(kv)?.known,
      known: (kv) => this.known(kv),
      listed: (keys, revision, newestRevision) => this.listed(keys, revision, newestRevision),
      changed: (events) => this.changed(events.flatMap((event) => reader.readEvent(event)?.change ?? [])),
      healthChanged: (health) => this.healthChanged(health),
    });
    this.ownFeed.start();
    this.standInAfter(SILENCE_MS);
  }

  /** Ends the own list and watch; the namespace's takes over, or nobody. */
  stopFeedingItself(): void {
    this.ownFeed?.stop();
    this.ownFeed = undefined;
  }

  /** What has been pushed of a key, if it was read of exactly this state of it. */
  known(kv: EtcdKeyValue): KnownKey | undefined {
    const known = this.state.keys.get(kv.key);
    return known && sameState(kv, known) ? known : undefined;
  }

  /** The whole service at one revision; parts of it may be as new as `newestRevision`. */
  listed(keys: readonly KnownKey[], revision: number, newestRevision = revision): void {
    this.seen = newestRevision;
    this.cancelStandIn?.();
    const before = this.state;
    const transition = andThen(this.takePending(), (state) => applyList(state, keys, revision, this.deps.clock.now()));
    if (transition.events.length > 0) this.coalescer.pushed();
    else this.coalescer.cancel();
    this.publish(before, transition);
    if (before.standIn) this.deps.standInReport.ended(this.service);
  }

  /** News, in etcd's order. */
  changed(changes: readonly KeyChange[]): void {
    if (changes.length === 0) return;
    for (const change of changes) {
      this.pending.push(change);
      this.seen = Math.max(this.seen, change.type === 'put' ? change.known.modRevision : change.modRevision);
    }
    this.coalescer.changed();
  }

  healthChanged(health: WatchHealth): void {
    this.currentHealth = health;
    if (this.seen > 0) this.deps.lastKnown?.confirmed(this.service, health.state === 'live');
    else if (health.state === 'pending' && health.error && !this.state.snapshot) this.showUnlisted();
    this.healthChanges.call(health);
  }

  /** Ends everything: no listener is called any more. The last snapshot stays readable. */
  close(): void {
    this.stopFeedingItself();
    this.cancelStandIn?.();
    if (this.seen > 0) this.deps.lastKnown?.confirmed(this.service, false);
    this.coalescer.cancel();
    this.pending = [];
    this.dead.clear();
    for (const { end } of this.watchedSuspects.values()) end();
    this.watchedSuspects.clear();
    this.changes.clear();
    this.healthChanges.clear();
  }

  /** etcd has not listed the service: shows what is known of it all the same. Without anything known, nothing happens. */
  showUnlisted(): void {
    this.cancelStandIn?.();
    this.cancelStandIn = undefined;
    if (this.seen > 0) return;
    const standIn = this.deps.lastKnown?.of(this.service);
    if (!standIn && this.state.fixed.length === 0) return;
    if (standIn && !this.state.standIn) this.deps.standInReport.begun(this.service, standIn);
    this.publish(this.state, showUnlisted(this.state, standIn));
  }

  private standInAfter(ms: number): void {
    const { clock, lastKnown } = this.deps;
    if (this.seen > 0 || this.cancelStandIn || !lastKnown) return;
    this.cancelStandIn = clock.after(ms, () => this.showUnlisted());
  }

  private push(): void {
    this.publish(this.state, this.takePending());
  }

  private takePending(): Transition {
    const { pending, dead } = this;
    const now = this.deps.clock.now();
    this.pending = [];
    this.dead = new Map();
    const nothing: Transition = { state: this.state, events: [], unreadable: [] };
    const changed = pending.length > 0 ? applyChanges(this.state, pending, now) : nothing;
    // After the news: one that came back meanwhile stays.
    return dead.size > 0 ? andThen(changed, (state) => dropSuspects(state, dead, now)) : changed;
  }

  private publish(before: ServiceState, transition: Transition): void {
    const { state } = transition;
    this.state = state;
    this.deps.skipped.report(this.service, transition.unreadable);
    if (before.suspects.size > 0 || state.suspects.size > 0) {
      if (!before.standIn && !state.standIn) {
        this.suspectReport.follow(transition.events, state.suspects, before.snapshot?.instances.length ?? 0);
      }
      this.followSuspects();
      if (state.standIn && state.suspects.size === 0) this.standInLost();
    }
    if (this.seen > 0 && state.snapshot) {
      this.deps.lastKnown?.learnt(this.service, state.snapshot.instances, this.currentHealth.state === 'live');
    }
    const change = changeOf(before, transition);
    if (change) this.changes.call(change);
  }

  /** Looks after those that are suspects now, and no longer after those that are not. */
  private followSuspects(): void {
    const { suspects } = this.state;
    for (const [key, { instance, end }] of this.watchedSuspects) {
      if (suspects.get(key) === instance) continue;
      end();
      this.watchedSuspects.delete(key);
    }
    for (const [key, instance] of suspects) {
      if (this.watchedSuspects.has(key)) continue;
      const dead = (reason: DeadReason) => this.drop(key, instance, reason);
      // What stands in has no time limit: only etcd can say that it is gone, and etcd is what does not answer.
      const end = this.deps.suspects.begin(instance, dead, this.state.standIn && Number.POSITIVE_INFINITY);
      this.watchedSuspects.set(key, { instance, end });
    }
  }

  private standInLost(): void {
    if (!this.toldLost) this.deps.standInReport.exhausted(this.service, STAND_IN_RETRY_MS);
    this.toldLost = true;
    this.standInAfter(STAND_IN_RETRY_MS);
  }

  private drop(key: string, instance: ServiceInstance, reason: DeadReason): void {
    if (!this.state.standIn) this.suspectReport.dropping(instance, reason);
    this.dead.set(key, instance);
    this.coalescer.changed();
  }
}
