import { describe, expect, it } from 'vitest';
import type { ServiceInstance } from '../instance/service-instance.js';
import {
  andThen,
  applyChanges as applyChangesAt,
  applyList as applyListAt,
  changeOf,
  showUnlisted,
  unknownService,
  type KeyChange,
  type KnownKey,
  type ServiceState,
} from './service-state.js';

const instance = (id: string, revision: number, patch: Partial<ServiceInstance> = {}): ServiceInstance => ({
  id,
  service: 's',
  address: `10.0.0.1:${revision}`,
  host: '10.0.0.1',
  port: revision,
  endpoints: [],
  weight: 10,
  metadata: {},
  status: 'up',
  suspect: false,
  format: 'native',
  createRevision: revision,
  modRevision: revision,
  ...patch,
});

const known = (id: string, revision: number, patch: Partial<ServiceInstance> = {}): KnownKey => ({
  key: `/services/s/${id}`,
  createRevision: revision,
  modRevision: revision,
  instance: instance(id, revision, patch),
});

const put = (id: string, revision: number, patch: Partial<ServiceInstance> = {}): KeyChange => ({
  type: 'put',
  known: known(id, revision, patch),
});

const gone = (id: string, revision: number): KeyChange => ({
  type: 'delete',
  key: `/services/s/${id}`,
  modRevision: revision,
});

// What happens at which time is the business of service-state.suspects.spec.ts.
const applyList = (state: ServiceState, keys: readonly KnownKey[], revision: number) =>
  applyListAt(state, keys, revision, 0);
const applyChanges = (state: ServiceState, changes: readonly KeyChange[]) => applyChangesAt(state, changes, 0);

const listed = (...keys: KnownKey[]): ServiceState => applyList(unknownService('s'), keys, 10).state;

const ids = (state: ServiceState) => state.snapshot?.instances.map(({ id }) => id);

const story = (events: readonly { type: string; instance: ServiceInstance; reason?: string }[]) =>
  events.map(({ type, instance, reason }) => [type, instance.id, reason].filter(Boolean).join(' '));

describe('a first list', () => {
  it('shows its instances sorted by id and tells each as added at the revision of the list', () => {
    const { state, events } = applyList(unknownService('s'), [known('b', 4), known('a', 7)], 10);
    expect(ids(state)).toEqual(['a', 'b']);
    expect(state.snapshot?.revision).toBe(10);
    expect(events.map(({ type, revision }) => [type, revision])).toEqual([
      ['added', 10],
      ['added', 10],
    ]);
  });

  it('is told even when it is empty, because "none" is an answer', () => {
    const before = unknownService('s');
    expect(changeOf(before, applyList(before, [], 10))).toEqual({
      snapshot: { service: 's', revision: 10, instances: [] },
      events: [],
    });
  });

  it('never shows what drains or cannot be read', () => {
    const broken: KnownKey = { key: '/services/s/x', createRevision: 1, modRevision: 1, problem: 'not JSON' };
    const { state, unreadable } = applyList(unknownService('s'), [known('a', 3, { status: 'draining' }), broken], 10);
    expect(ids(state)).toEqual([]);
    expect(unreadable).toEqual([broken]);
  });

  it('makes frozen snapshots', () => {
    const { snapshot } = listed(known('a', 3));
    expect(Object.isFrozen(snapshot)).toBe(true);
    expect(Object.isFrozen(snapshot?.instances)).toBe(true);
  });
});

describe('a later list', () => {
  it('tells only what differs and keeps the objects of the rest', () => {
    const before = listed(known('a', 3), known('b', 4), known('c', 5));
    const { state, events } = applyList(before, [known('a', 3), known('b', 12), known('d', 13)], 14);
    expect(story(events)).toEqual(['updated b', 'added d', 'removed c expired']);
    expect(state.snapshot?.instances[0]).toBe(before.snapshot?.instances[0]);
  });

  it('without news makes no event and keeps the list', () => {
    const before = listed(known('a', 3));
    const transition = applyList(before, [known('a', 3)], 14);
    expect(changeOf(before, transition)).toBeUndefined();
    expect(transition.state.snapshot?.instances).toBe(before.snapshot?.instances);
    expect(transition.state.snapshot?.revision).toBe(14);
  });

  it('of an older revision is believed: etcd was restored', () => {
    const { state, events } = applyList(listed(known('a', 3), known('b', 9)), [known('a', 3)], 5);
    expect(ids(state)).toEqual(['a']);
    expect(state.snapshot?.revision).toBe(5);
    expect(story(events)).toEqual(['removed b expired']);
  });

  it('shows another value under the same revisions, as a restored etcd may hold', () => {
    const { state, events } = applyList(listed(known('a', 3)), [known('a', 3, { weight: 99 })], 10);
    expect(story(events)).toEqual(['updated a']);
    expect(state.snapshot?.instances[0]?.weight).toBe(99);
  });

  it('reports an unreadable value once, not with every list', () => {
    const broken: KnownKey = { key: '/services/s/x', createRevision: 1, modRevision: 1, problem: 'not JSON' };
    expect(applyList(listed(broken), [broken], 12).unreadable).toEqual([]);
    expect(applyList(listed(broken), [{ ...broken, modRevision: 11 }], 12).unreadable).toHaveLength(1);
  });
});

describe('changes', () => {
  it('take an instance out at its draining mark and are silent about the delete that follows', () => {
    const { state, events } = applyChanges(listed(known('a', 3)), [
      put('a', 11, { status: 'draining' }),
      gone('a', 12),
    ]);
    expect(story(events)).toEqual(['removed a drained']);
    expect(events[0]).toMatchObject({ instance: { status: 'draining' }, previous: { status: 'up' }, revision: 11 });
    expect(ids(state)).toEqual([]);
    expect(state.keys.size).toBe(0);
  });

  it('tell a delete without a mark as expired', () => {
    const { events } = applyChanges(listed(known('a', 3), known('b', 4)), [gone('a', 11)]);
    expect(story(events)).toEqual(['removed a expired']);
  });

  it('bring an instance back that drained and is up again', () => {
    const { events } = applyChanges(listed(known('a', 3, { status: 'draining' })), [put('a', 11)]);
    expect(story(events)).toEqual(['added a']);
  });

  it('are idempotent by modRevision', () => {
    const changes = [put('a', 11), put('b', 12), gone('a', 13)];
    const once = applyChanges(listed(known('a', 3)), changes);
    const twice = applyChanges(once.state, [put('b', 12), put('b', 11)]);
    expect(twice.events).toEqual([]);
    expect(twice.state.snapshot).toBe(once.state.snapshot);
  });

  it('older than the list are passed over, deletes too', () => {
    const { state, events } = applyChanges(listed(known('a', 9)), [gone('a', 8), put('a', 4)]);
    expect(events).toEqual([]);
    expect(ids(state)).toEqual(['a']);
  });

  it('that make a value unreadable take the instance out', () => {
    const broken: KnownKey = { key: '/services/s/a', createRevision: 3, modRevision: 11, problem: 'not JSON' };
    const { state, events, unreadable } = applyChanges(listed(known('a', 3)), [{ type: 'put', known: broken }]);
    expect(ids(state)).toEqual([]);
    expect(story(events)).toEqual(['removed a expired']);
    expect(unreadable).toEqual([broken]);
  });

  it('of one batch lead from snapshot to snapshot, in-between states included', () => {
    const { state, events } = applyChanges(listed(known('b', 3)), [
      put('a', 11),
      put('a', 12),
      gone('b', 13),
      put('b', 14),
    ]);
    expect(story(events)).toEqual(['added a', 'updated a', 'removed b expired', 'added b']);
    expect(state.snapshot?.instances.map(({ id, modRevision }) => [id, modRevision])).toEqual([
      ['a', 12],
      ['b', 14],
    ]);
  });

  it('leave the state they began with untouched', () => {
    const before = listed(known('a', 3));
    applyChanges(before, [gone('a', 11), put('b', 12)]);
    expect(ids(before)).toEqual(['a']);
    expect([...before.keys.keys()]).toEqual(['/services/s/a']);
  });

  it('and a list in one step tell the draining that the list alone would call an expiry', () => {
    const before = listed(known('a', 3));
    const changes = applyChanges(before, [put('a', 11, { status: 'draining' })]);
    expect(story(andThen(changes, (state) => applyList(state, [], 12)).events)).toEqual(['removed a drained']);
  });
});

describe('instances of the options', () => {
  const fixed = [instance('10.9.9.9:1', 0, { format: 'static' })];

  it('are shown beside those of etcd, and told once', () => {
    const { state, events } = applyList(unknownService('s', fixed), [known('a', 3)], 10);
    expect(ids(state)).toEqual(['10.9.9.9:1', 'a']);
    expect(story(events)).toEqual(['added 10.9.9.9:1', 'added a']);
    expect(story(applyList(state, [], 11).events)).toEqual(['updated a suspect']);
  });

  it('can be shown alone, after which the first list tells only its own', () => {
    const alone = showUnlisted(unknownService('s', fixed));
    expect(ids(alone.state)).toEqual(['10.9.9.9:1']);
    expect(alone.state.snapshot?.revision).toBe(0);
    expect(story(applyList(alone.state, [known('a', 3)], 10).events)).toEqual(['added a']);
  });

  it('change nothing once there is a list', () => {
    expect(showUnlisted(listed(known('a', 3))).events).toEqual([]);
  });
});
