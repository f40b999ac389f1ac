import type { ServiceInstance } from '../instance/service-instance.js';
import type { SnapshotOrigin, StandIn } from './last-known.js';
import { forget, most, NOTHING_SEEN, observe, type RecentMaximum } from './recent-maximum.js';
import { sameData } from './same-data.js';
import type { ServiceEvent, ServiceSnapshot, SnapshotChange } from './service-catalog.js';

/** A key under a service and what it says. */
export interface KnownKey {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Of the write that was read, with `lease` for comparison with a list of keys; both absent when not read from etcd. */
  readonly version?: number;
  /** Decimal lease id. */
  readonly lease?: string;
  /** Absent where the value could not be read. */
  readonly instance?: ServiceInstance;
  /** Why there is no instance. */
  readonly problem?: string;
}

export type KeyChange =
  | { readonly type: 'put'; readonly known: KnownKey }
  | { readonly type: 'delete'; readonly key: string; readonly modRevision: number };

/** All that a watch of one service remembers. Never modified: each step makes the next one. */
export interface ServiceState {
  readonly service: string;
  /** Instances from the options, which no event of etcd touches. */
  readonly fixed: readonly ServiceInstance[];
  /** Every key of the service, unreadable and draining ones included. */
  readonly keys: ReadonlyMap<string, KnownKey>;
  /** Instances whose key vanished and that are still shown, by that key; none of them is in `keys`. */
  readonly suspects: ReadonlyMap<string, ServiceInstance>;
  /** The most addresses that were registered and not draining, suspects not counted. */
  readonly recent: RecentMaximum;
  /** Set while the suspects stand in for a list that etcd has not given yet. */
  readonly standIn?: SnapshotOrigin;
  /** Undefined until something may be shown to users. */
  readonly snapshot: ServiceSnapshot | undefined;
}

/** A step from one state to the next, and what it means to users. */
export interface Transition {
  readonly state: ServiceState;
  readonly events: readonly ServiceEvent[];
  /** Keys whose present value could not be read and that were not reported before. */
  readonly unreadable: readonly KnownKey[];
}

/** The state of a service of which nothing is known yet. */
export const unknownService = (service: string, fixed: readonly ServiceInstance[] = []): ServiceState => ({
  service,
  fixed,
  keys: new Map(),
  suspects: new Map(),
  recent: NOTHING_SEEN,
  snapshot: undefined,
});

/**
 * Shows the instances of the options and, as suspects, those of a stand-in, for as long as etcd has not listed the
 * service. Those that are shown already stay as they are; the first list replaces all.
 */
export const showUnlisted = (state: ServiceState, standIn?: StandIn): Transition => {
  if (state.snapshot && !standIn) return { state, events: [], unreadable: [] };
  const step = new Step(state, false);
  for (const [key, instance] of standIn?.instances ?? []) step.remember(key, instance);
  const origin = standIn && { file: standIn.file, asOf: standIn.asOf };
  return conclude(origin ? { ...state, standIn: origin } : state, step, 0, 0);
};

/**
 * A complete list at one revision: it is the truth, whatever was known before, be it of a later revision (etcd was
 * restored). Instances that are as they were keep their object, so that a list that brings no news makes no event.
 *
 * @param now monotonic milliseconds
 */
export const applyList = (
  state: ServiceState,
  listed: readonly KnownKey[],
  revision: number,
  now: number,
): Transition =>
  judge(state.standIn ? { ...state, standIn: undefined } : state, now, (step) => {
    const found = new Set<string>();
    for (const known of listed) {
      const before = state.keys.get(known.key);
      found.add(known.key);
      if (!before || !saysTheSame(before, known)) step.put(known, revision);
    }
    for (const key of state.keys.keys()) if (!found.has(key)) step.vanish(key, revision);
    // What stood in has never been seen in etcd by this process: an answer, be it empty, is preferred to it, and only
    // what was seen is protected.
    if (state.standIn) for (const key of state.suspects.keys()) if (!found.has(key)) step.drop(key, revision);
    return revision;
  });

/**
 * Changes as the watch brought them, in etcd's order. Idempotent: a change that is not newer than what is known of its
 * key is passed over. (An old put of a key deleted since cannot be told here; the watch hands on each revision once.)
 *
 * @param now monotonic milliseconds
 */
export const applyChanges = (state: ServiceState, changes: readonly KeyChange[], now: number): Transition =>
  judge(state, now, (step) => {
    let revision = state.snapshot?.revision ?? 0;
    for (const change of changes) {
      const key = change.type === 'put' ? change.known.key : change.key;
      const modRevision = change.type === 'put' ? change.known.modRevision : change.modRevision;
      const before = step.keys.get(key);
      if (before && before.modRevision >= modRevision) continue;
      revision = Math.max(revision, modRevision);
      if (change.type === 'put') step.put(change.known, modRevision);
      else step.vanish(key, modRevision);
    }
    return revision;
  });

/** Takes suspects out that are proven dead or have had their time; one that is no suspect any more is passed over. */
export const dropSuspects = (
  state: ServiceState,
  dropped: ReadonlyMap<string, ServiceInstance>,
  now: number,
): Transition => {
  const step = new Step(state, false);
  const revision = state.snapshot?.revision ?? 0;
  for (const [key, instance] of dropped) if (state.suspects.get(key) === instance) step.drop(key, revision);
  return conclude(state, step, revision, now);
};

/** One transition after another, as one. */
export const andThen = (first: Transition, next: (state: ServiceState) => Transition): Transition => {
  const second = next(first.state);
  return {
    state: second.state,
    events: [...first.events, ...second.events],
    unreadable: [...first.unreadable, ...second.unreadable],
  };
};

/** What users are told of a transition; undefined when nothing changed for them. */
export const changeOf = (before: ServiceState, { state, events }: Transition): SnapshotChange | undefined =>
  state.snapshot && (events.length > 0 || !before.snapshot) ? { snapshot: state.snapshot, events } : undefined;

/** The instance of a key, if it may get calls. */
const serving = (known: KnownKey | undefined): ServiceInstance | undefined =>
  known?.instance?.status === 'up' ? known.instance : undefined;

/**
 * A restored etcd can hold another value under the same revisions, so that revisions alone do not show that nothing
 * changed.
 */
const saysTheSame = (a: KnownKey, b: KnownKey): boolean =>
  a.modRevision === b.modRevision &&
  a.createRevision === b.createRevision &&
  a.problem === b.problem &&
  sameData(a.instance, b.instance);

/**
 * Protection of the last known state. A key that disappears without a draining mark says that its lease ended, which is
 * the instance's fault or etcd's (paused, a resumed leader, wiped, restored). What disappears together in one step (a
 * push of the watch, at most ten a second, or the difference to a new list) is judged together: while at least half of
 * the most addresses of the last five minutes stay registered, the instances are gone. If less would stay, *all* of the
 * step become suspects: they are shown and used until their connection proves them dead.
 *
 * A mass expiry that comes in several steps therefore loses what the steps up to the half brought, at most half, and
 * keeps all that the later ones bring. Suspects do not count as registered: while there are any, etcd is in doubt.
 */
const judge = (state: ServiceState, now: number, run: (step: Step) => number): Transition => {
  const removing = new Step(state, false);
  const revision = run(removing);
  const { expired, drained, registered } = removing;
  if (expired === 0 || registered.size * 2 >= most(forget(state.recent, drained), now)) {
    return conclude(state, removing, revision, now);
  }
  const protecting = new Step(state, true);
  return conclude(state, protecting, run(protecting), now);
};

/** What becomes of a state while changes are applied to it. */
class Step {
  readonly keys: Map<string, KnownKey>;
  readonly suspects: Map<string, ServiceInstance>;
  readonly events: ServiceEvent[] = [];
  readonly unreadable: KnownKey[] = [];
  drained = 0;
  expired = 0;

  constructor(
    state: ServiceState,
    /** Instances that vanish become suspects. */
    private readonly protecting: boolean,
  ) {
    this.keys = new Map(state.keys);
    this.suspects = new Map(state.suspects);
  }

  /** One process listens at an address, so several ids at one address are one instance and leftovers of its past. */
  get registered(): ReadonlySet<string> {
    const addresses = new Set<string>();
    for (const known of this.keys.values()) {
      const instance = serving(known);
      if (instance) addresses.add(instance.address);
    }
    return addresses;
  }

  put(known: KnownKey, revision: number): void {
    const { key } = known;
    const suspect = this.suspects.get(key);
    const previous = serving(this.keys.get(key)) ?? suspect;
    const instance = serving(known);
    this.keys.set(key, known);
    this.suspects.delete(key);
    if (known.problem !== undefined) this.unreadable.push(known);
    if (instance && previous) {
      this.events.push({ type: 'updated', instance, previous, ...(suspect && { reason: 'recovered' }), revision });
    } else if (instance) {
      this.events.push({ type: 'added', instance, revision });
    } else if (previous && known.instance) {
      // The mark is the leaving: whoever waits for the delete sends calls to a server that is about to close.
      this.drained += 1;
      this.events.push({ type: 'removed', instance: known.instance, previous, reason: 'drained', revision });
    } else if (previous) {
      this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
    }
  }

  /** Every disappearance without a draining mark passes here; an instance that was draining had left before. */
  vanish(key: string, revision: number): void {
    const previous = serving(this.keys.get(key));
    this.keys.delete(key);
    if (!previous) return;
    this.expired += 1;
    if (this.protecting) {
      const instance = Object.freeze({ ...previous, suspect: true });
      this.suspects.set(key, instance);
      this.events.push({ type: 'updated', instance, previous, reason: 'suspect', revision });
    } else {
      this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
    }
  }

  /** One that this process has not seen in etcd. */
  remember(key: string, instance: ServiceInstance): void {
    if (this.suspects.has(key) || this.keys.has(key)) return;
    this.suspects.set(key, instance);
    this.events.push({ type: 'added', instance, revision: 0 });
  }

  drop(key: string, revision: number): void {
    const previous = this.suspects.get(key);
    if (!previous) return;
    this.suspects.delete(key);
    this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
  }
}

const conclude = (state: ServiceState, step: Step, revision: number, now: number): Transition => {
  const { keys, suspects, drained, unreadable, registered } = step;
  // Registered again under another id: the process behind the suspect is there, or another one took its address.
  for (const [key, { address }] of suspects) if (registered.has(address)) step.drop(key, revision);
  const before = state.snapshot;
  const events = before ? step.events : [...state.fixed.map((instance) => added(instance, revision)), ...step.events];
  const instances = events.length === 0 && before ? before.instances : merge(before?.instances ?? [], events);
  const snapshot =
    before && before.instances === instances && before.revision === revision
      ? before
      : Object.freeze({
          service: state.service,
          revision,
          instances,
          ...(state.standIn && { standIn: state.standIn }),
        });
  const recent = observe(forget(state.recent, drained), registered.size, now);
  return { state: { ...state, keys, suspects, recent, snapshot }, events, unreadable };
};

const added = (instance: ServiceInstance, revision: number): ServiceEvent => ({ type: 'added', instance, revision });

/** From the last list on, because sorting one that is almost in order costs a fraction of sorting the whole map. */
const merge = (last: readonly ServiceInstance[], events: readonly ServiceEvent[]): readonly ServiceInstance[] => {
  const gone = new Set<ServiceInstance>();
  const come: ServiceInstance[] = [];
  for (const event of events) {
    if (event.previous) gone.add(event.previous);
    if (event.type !== 'removed') come.push(event.instance);
  }
  return Object.freeze([...last, ...come].filter((instance) => !gone.has(instance)).sort(byId));
};

const byId = (a: ServiceInstance, b: ServiceInstance): number => compare(a.id, b.id) || compare(a.address, b.address);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
