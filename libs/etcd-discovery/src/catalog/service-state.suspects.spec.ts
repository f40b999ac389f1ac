import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceInstance } from '../instance/service-instance.js';
import {
  applyChanges,
  applyList,
  dropSuspects,
  unknownService,
  type KeyChange,
  type KnownKey,
  type ServiceState,
  type Transition,
} from './service-state.js';

const MINUTE = 60_000;

/** Port `10.0.0.1:<n>` of instance `i<n>` unless another is given. */
const known = (n: number, revision: number, patch: Partial<ServiceInstance> = {}): KnownKey => ({
  key: `/services/s/${patch.id ?? `i${n}`}`,
  createRevision: revision,
  modRevision: revision,
  instance: {
    id: `i${n}`,
    service: 's',
    address: `10.0.0.1:${n}`,
    host: '10.0.0.1',
    port: n,
    endpoints: [],
    weight: 10,
    metadata: {},
    status: 'up',
    suspect: false,
    format: 'native',
    createRevision: revision,
    modRevision: revision,
    ...patch,
  },
});

/** A service, its etcd and its time, one step after another. */
class World {
  state: ServiceState = unknownService('s');
  events: string[] = [];
  now = 0;
  revision = 10;

  constructor(count: number) {
    this.list(...Array.from({ length: count }, (_, n) => n));
  }

  list(...numbers: number[]): this {
    this.revision += 1;
    return this.took(
      applyList(
        this.state,
        numbers.map((n) => known(n, 10)),
        this.revision,
        this.now,
      ),
    );
  }

  put(n: number, patch: Partial<ServiceInstance> = {}): KeyChange {
    return { type: 'put', known: known(n, ++this.revision, patch) };
  }

  gone(n: number): KeyChange {
    return { type: 'delete', key: `/services/s/i${n}`, modRevision: ++this.revision };
  }

  change(...changes: KeyChange[]): this {
    return this.took(applyChanges(this.state, changes, this.now));
  }

  drop(n: number): this {
    const key = `/services/s/i${n}`;
    return this.took(dropSuspects(this.state, new Map([[key, this.state.suspects.get(key)!]]), this.now));
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }

  get shown(): string[] {
    return (this.state.snapshot?.instances ?? []).map(({ id, suspect }) => (suspect ? `${id}?` : id));
  }

  private took({ state, events }: Transition): this {
    this.state = state;
    this.events = events.map(({ type, instance, reason }) => [type, instance.id, reason].filter(Boolean).join(' '));
    return this;
  }
}

describe('an instance that vanishes', () => {
  it('is gone at once while half of the service remains', () => {
    const three = new World(3);
    three.change(three.gone(0));
    expect(three.events).toEqual(['removed i0 expired']);
    const two = new World(2);
    two.change(two.gone(0));
    expect(two.events).toEqual(['removed i0 expired']);
    expect(two.shown).toEqual(['i1']);
  });

  it('alone becomes a suspect: the key goes, the instance stays', () => {
    const world = new World(1);
    const before = world.state.snapshot?.instances[0];
    const { state, events } = applyChanges(world.state, [world.gone(0)], 0);
    expect(events).toEqual([
      { type: 'updated', instance: { ...before, suspect: true }, previous: before, reason: 'suspect', revision: 12 },
    ]);
    expect(state.snapshot?.instances).toEqual([{ ...before, suspect: true }]);
    expect(state.snapshot?.revision).toBe(12);
    expect(state.keys.size).toBe(0);
    expect([...state.suspects.keys()]).toEqual(['/services/s/i0']);
  });
});

describe('a mass expiry', () => {
  it('in one step makes suspects of all, be it told by the watch or by a list', () => {
    const watched = new World(4);
    watched.change(...[0, 1, 2, 3].map((n) => watched.gone(n)));
    expect(watched.shown).toEqual(['i0?', 'i1?', 'i2?', 'i3?']);
    const relisted = new World(4).list();
    expect(relisted.shown).toEqual(['i0?', 'i1?', 'i2?', 'i3?']);
    expect(new World(4).list(3).shown).toEqual(['i0?', 'i1?', 'i2?', 'i3']);
  });

  it('one by one loses those up to the half and keeps the rest', () => {
    const world = new World(5);
    const shown: number[] = [];
    for (let n = 0; n < 5; n += 1) shown.push(world.after(50).change(world.gone(n)).shown.length);
    expect(shown).toEqual([4, 3, 3, 3, 3]);
    expect(world.shown).toEqual(['i2?', 'i3?', 'i4?']);
  });

  it('is measured by the most of five minutes, not by what the last step left', () => {
    const world = new World(4);
    world.change(world.gone(0), world.gone(1));
    expect(world.shown).toEqual(['i2', 'i3']);
    world.after(5 * MINUTE).change(world.gone(2));
    expect(world.shown).toEqual(['i2?', 'i3']);
    const later = new World(4);
    later.change(later.gone(0), later.gone(1));
    later.after(5 * MINUTE + 1).change(later.gone(2));
    expect(later.shown).toEqual(['i3']);
  });

  it('that happens while there are suspects makes more of them', () => {
    const world = new World(2).list();
    world.change(world.put(5));
    world.change(world.gone(5));
    expect(world.shown).toEqual(['i0?', 'i1?', 'i5?']);
  });
});

describe('instances that leave on purpose', () => {
  const drained = (world: World, n: number) => [world.put(n, { status: 'draining' }), world.gone(n)];

  it('empty the service at once', () => {
    const world = new World(3);
    world.change(...[0, 1, 2].flatMap((n) => drained(world, n)));
    expect(world.events).toEqual(['removed i0 drained', 'removed i1 drained', 'removed i2 drained']);
    expect(world.shown).toEqual([]);
    const slowly = new World(3);
    for (let n = 0; n < 3; n += 1) slowly.change(...drained(slowly, n));
    expect(slowly.shown).toEqual([]);
  });

  it('are not missed: a service that was scaled down loses one that crashes at once', () => {
    const world = new World(10);
    for (let n = 0; n < 8; n += 1) world.change(...drained(world, n));
    world.change(world.gone(8));
    expect(world.events).toEqual(['removed i8 expired']);
  });

  it('are not missed by one that crashes in the same step', () => {
    const world = new World(10);
    world.change(...[0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) => drained(world, n)), world.gone(8));
    expect(world.shown).toEqual(['i9']);
  });

  it('leave those suspect that vanished without a mark in the same step', () => {
    const world = new World(3);
    world.change(...drained(world, 0), ...drained(world, 1), world.gone(2));
    expect(world.shown).toEqual(['i2?']);
  });
});

describe('a suspect', () => {
  it('whose key comes back has recovered', () => {
    const world = new World(1).list();
    world.change(world.put(0));
    expect(world.events).toEqual(['updated i0 recovered']);
    expect(world.shown).toEqual(['i0']);
    expect(world.state.suspects.size).toBe(0);
    expect(new World(3).list().list(0, 1, 2).events).toEqual([
      'updated i0 recovered',
      'updated i1 recovered',
      'updated i2 recovered',
    ]);
  });

  it('whose address comes back under another id is replaced in one step', () => {
    const world = new World(1).list();
    world.change(world.put(0, { id: 'successor' }));
    expect(world.events).toEqual(['added successor', 'removed i0 expired']);
    expect(world.shown).toEqual(['successor']);
  });

  it('that drains is gone', () => {
    const world = new World(2).list();
    world.change(world.put(0, { status: 'draining' }));
    expect(world.events).toEqual(['removed i0 drained']);
    expect(world.shown).toEqual(['i1?']);
  });

  it('stays when later lists and changes do not name it, and vanishes no second time', () => {
    const world = new World(2).list().list();
    expect(world.events).toEqual([]);
    world.change(world.gone(0));
    expect(world.events).toEqual([]);
    expect(world.shown).toEqual(['i0?', 'i1?']);
  });

  it('that is dropped is told as expired; dropping one that recovered does nothing', () => {
    const world = new World(2).list();
    const dead = new Map(world.state.suspects);
    world.drop(0);
    expect(world.events).toEqual(['removed i0 expired']);
    expect(world.shown).toEqual(['i1?']);
    world.change(world.put(1));
    expect(dropSuspects(world.state, dead, 0).events).toEqual([]);
  });

  it('is not made of what a restart left behind at the same address', () => {
    const world = new World(1);
    world.change(world.put(0, { id: 'second' }));
    world.change(world.put(0, { id: 'third' }));
    world.change(world.gone(0), { type: 'delete', key: '/services/s/second', modRevision: ++world.revision });
    expect(world.shown).toEqual(['third']);
  });
});

describe('whatever happens', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('up' as const), n: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drain' as const), n: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('expire' as const), ns: fc.uniqueArray(fc.nat(9)) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('list' as const), ns: fc.uniqueArray(fc.nat(9)) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.nat(4 * MINUTE) }) },
  );

  it('expiry alone never empties a service nor takes it below half of its recent maximum', () => {
    let suspected = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const world = new World(0);
        // The rule told another way: every moment's count, and the drained taken off all of them.
        let samples: { until: number; count: number }[] = [];
        for (const one of steps) {
          const before = world.state;
          const live = [...before.keys.values()].length;
          samples.push({ until: world.now, count: live });
          if (one.kind === 'time') world.after(one.ms);
          if (one.kind === 'up') world.change(world.put(one.n));
          if (one.kind === 'drain') {
            world.change(world.put(one.n, { status: 'draining' }), world.gone(one.n));
            if (world.events.length > 0) samples = samples.map(({ until, count }) => ({ until, count: count - 1 }));
            expect(world.shown.map((id) => id.replace('?', ''))).not.toContain(`i${one.n}`);
          }
          if (one.kind === 'expire') world.change(...one.ns.map((n) => world.gone(n)));
          if (one.kind === 'list') world.list(...one.ns);
          const recent = samples.filter(({ until }) => world.now - until <= 5 * MINUTE);
          const max = Math.max(
            0,
            ...(live > 0 && one.kind === 'time' ? [live] : []),
            ...recent.map(({ count }) => count),
          );
          const shownBefore = before.snapshot?.instances.length ?? 0;
          if ((one.kind === 'expire' || one.kind === 'list') && world.shown.length < shownBefore) {
            expect(world.shown.length).toBeGreaterThan(0);
            expect(world.shown.length * 2).toBeGreaterThanOrEqual(max);
          }
          suspected += world.state.suspects.size;
          // The list is what the keys and the suspects say, neither more nor less.
          const all = [...world.state.keys.values()].map(({ instance }) => instance!.id);
          for (const { id } of world.state.suspects.values()) all.push(`${id}?`);
          expect(world.shown).toEqual(all.toSorted());
        }
      }),
      { numRuns: 2_000 },
    );
    expect(suspected).toBeGreaterThan(1_000);
  });
});
