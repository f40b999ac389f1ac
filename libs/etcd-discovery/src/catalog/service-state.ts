import { sameInstance } from '../instance/same-instance.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import type { KnownKey } from './known-key.js';
import type { SnapshotOrigin, StandIn } from './last-known.js';
import { forget, most, NOTHING_SEEN, observe, type RecentMaximum } from './recent-maximum.js';
import type { ServiceEvent, ServiceSnapshot, SnapshotChange } from './service-catalog.js';
import { Step } from './service-step.js';
import { mergeById } from './sorted-instances.js';

export type { KnownKey } from './known-key.js';

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
  /** The addresses of those that are registered and not draining, with how many keys have each. */
  readonly addresses: ReadonlyMap<string, number>;
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
  addresses: new Map(),
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
    // The first list finds nothing that could be missing from it.
    if (state.keys.size === 0 && state.suspects.size === 0) {
      for (const known of listed) step.put(known, revision);
      return revision;
    }
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

/**
 * A restored etcd can hold another value under the same revisions, so that revisions alone do not show that nothing
 * changed.
 */
const saysTheSame = (a: KnownKey, b: KnownKey): boolean =>
  a.modRevision === b.modRevision &&
  a.createRevision === b.createRevision &&
  a.problem === b.problem &&
  sameInstance(a.instance, b.instance);

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
  const { expired, drained, addresses } = removing;
  if (expired === 0 || addresses.size * 2 >= most(forget(state.recent, drained), now)) {
    return conclude(state, removing, revision, now);
  }
  const protecting = new Step(state, true);
  return conclude(state, protecting, run(protecting), now);
};

const conclude = (state: ServiceState, step: Step, revision: number, now: number): Transition => {
  const { keys, suspects, drained, unreadable, addresses } = step;
  // Registered again under another id: the process behind the suspect is there, or another one took its address.
  for (const [key, { address }] of suspects) if (addresses.has(address)) step.drop(key, revision);
  const before = state.snapshot;
  const events = before ? step.events : [...state.fixed.map((instance) => added(instance, revision)), ...step.events];
  const instances = events.length === 0 && before ? before.instances : mergeById(before?.instances ?? [], events);
  const snapshot =
    before && before.instances === instances && before.revision === revision
      ? before
      : Object.freeze({
          service: state.service,
          revision,
          instances,
          ...(state.standIn && { standIn: state.standIn }),
        });
  const recent = observe(forget(state.recent, drained), addresses.size, now);
  return { state: { ...state, keys, addresses, suspects, recent, snapshot }, events, unreadable };
};

const added = (instance: ServiceInstance, revision: number): ServiceEvent => ({ type: 'added', instance, revision });
