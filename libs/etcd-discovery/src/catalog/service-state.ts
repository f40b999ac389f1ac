import type { ServiceInstance } from '../instance/service-instance.js';
import { sameData } from './same-data.js';
import type { ServiceEvent, ServiceSnapshot, SnapshotChange } from './service-catalog.js';

/** A key under a service and what it says. */
export interface KnownKey {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
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
  snapshot: undefined,
});

/** Shows the instances of the options alone, for as long as etcd has not answered. Later answers win. */
export const showFixed = (state: ServiceState): Transition =>
  state.snapshot ? { state, events: [], unreadable: [] } : conclude(state, state.keys, 0, [], []);

/**
 * A complete list at one revision: it is the truth, whatever was known before, be it of a later revision (etcd was
 * restored). Instances that are as they were keep their object, so that a list that brings no news makes no event.
 */
export const applyList = (state: ServiceState, listed: readonly KnownKey[], revision: number): Transition => {
  const keys = new Map<string, KnownKey>();
  const events: ServiceEvent[] = [];
  const unreadable: KnownKey[] = [];
  for (const found of listed) {
    const before = state.keys.get(found.key);
    const now = before && saysTheSame(before, found) ? before : found;
    keys.set(now.key, now);
    if (now === before) continue;
    if (now.problem !== undefined) unreadable.push(now);
    const event = difference(before, now, revision);
    if (event) events.push(event);
  }
  for (const before of state.keys.values()) {
    if (keys.has(before.key)) continue;
    const event = vanished(before, revision);
    if (event) events.push(event);
  }
  return conclude(state, keys, revision, events, unreadable);
};

/**
 * Changes as the watch brought them, in etcd's order. Idempotent: a change that is not newer than what is known of its
 * key is passed over. (An old put of a key deleted since cannot be told here; the watch hands on each revision once.)
 */
export const applyChanges = (state: ServiceState, changes: readonly KeyChange[]): Transition => {
  const keys = new Map(state.keys);
  const events: ServiceEvent[] = [];
  const unreadable: KnownKey[] = [];
  let revision = state.snapshot?.revision ?? 0;
  for (const change of changes) {
    const key = change.type === 'put' ? change.known.key : change.key;
    const modRevision = change.type === 'put' ? change.known.modRevision : change.modRevision;
    const before = keys.get(key);
    if (before && before.modRevision >= modRevision) continue;
    revision = Math.max(revision, modRevision);
    let event: ServiceEvent | undefined;
    if (change.type === 'put') {
      keys.set(key, change.known);
      if (change.known.problem !== undefined) unreadable.push(change.known);
      event = difference(before, change.known, modRevision);
    } else if (before) {
      keys.delete(key);
      event = vanished(before, modRevision);
    }
    if (event) events.push(event);
  }
  return conclude(state, keys, revision, events, unreadable);
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

const difference = (before: KnownKey | undefined, now: KnownKey, revision: number): ServiceEvent | undefined => {
  const previous = serving(before);
  const instance = serving(now);
  if (instance && previous) return { type: 'updated', instance, previous, revision };
  if (instance) return { type: 'added', instance, revision };
  if (!previous) return undefined;
  // The mark is the leaving: whoever waits for the delete sends calls to a server that is about to close.
  if (now.instance) return { type: 'removed', instance: now.instance, previous, reason: 'drained', revision };
  return { type: 'removed', instance: previous, previous, reason: 'expired', revision };
};

/**
 * A key that is gone. Every disappearance without a draining mark is judged here and nowhere else; an instance that
 * was draining had left before.
 */
const vanished = (before: KnownKey, revision: number): ServiceEvent | undefined => {
  const previous = serving(before);
  return previous && { type: 'removed', instance: previous, previous, reason: 'expired', revision };
};

const conclude = (
  state: ServiceState,
  keys: ReadonlyMap<string, KnownKey>,
  revision: number,
  changes: readonly ServiceEvent[],
  unreadable: readonly KnownKey[],
): Transition => {
  const before = state.snapshot;
  const events = before ? changes : [...state.fixed.map((instance) => added(instance, revision)), ...changes];
  const instances = events.length === 0 && before ? before.instances : merge(before?.instances ?? [], events);
  const snapshot =
    before && before.instances === instances && before.revision === revision
      ? before
      : Object.freeze({ service: state.service, revision, instances });
  return { state: { ...state, keys, snapshot }, events, unreadable };
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
