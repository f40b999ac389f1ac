import { describe, expect, it } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { catalogWorld, idsOf, listed, MOMENT, RESYNC, stored } from '../../test/support/catalog-world.js';

/** A world whose etcd is past the terms of a fresh cluster, with some instances listed and watched. */
const settled = async (names: readonly string[], deps: Parameters<typeof catalogWorld>[0] = {}) => {
  const world = catalogWorld(deps);
  world.etcd.elect(30);
  for (const name of names) world.up('s', name);
  const share = await listed(world);
  world.etcd.ranges.length = 0;
  return { ...world, ...share };
};

type World = Awaited<ReturnType<typeof settled>>;

const cancel = async ({ etcd, clock }: World) => {
  etcd.endWatches({ reason: 'canceled' });
  await clock.advance(100 + MOMENT);
};

/** What the lists since asked for: `keys`, `values` of ranges, and the single keys that were read. */
const asked = ({ etcd }: World): string[] =>
  etcd.ranges
    .filter(({ key }) => key !== '/services/s')
    .map(({ key, rangeEnd, keysOnly }) => (rangeEnd === undefined ? key : keysOnly ? 'keys' : 'values'));

const cut = new EtcdRequestError('unreachable', 'reset');

describe('after a short gap, with a cache in hand', () => {
  it.each([
    ['etcd cancelled the watch', { reason: 'canceled' }],
    ['it was compacted', { reason: 'compacted', compactRevision: 3 }],
    ['its stream was reset', { reason: 'error', error: cut }],
  ] as const)('because %s, only keys are listed', async (_, end) => {
    const world = await settled(['a', 'b', 'c']);
    world.etcd.endWatches(end);
    await world.clock.advance(RESYNC);
    expect(asked(world)).toEqual(['keys']);
    expect(world.story()).toEqual(['added a', 'added b', 'added c']);
    expect(world.share.health.state).toBe('live');
    world.up('s', 'd');
    await world.clock.advance(MOMENT);
    expect(idsOf(world.share.snapshot)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('only what differs is read, at the revision of the list', async () => {
    const world = await settled(['a', 'b', 'c', 'd', 'e']);
    world.etcd.endWatches({ reason: 'canceled' });
    world.up('s', 'b', { weight: 99 });
    world.down('s', 'c');
    world.up('s', 'f');
    const { revision } = world.etcd;
    await world.clock.advance(100 + MOMENT);
    expect(asked(world)).toEqual(['keys', '/services/s/b', '/services/s/f']);
    expect(world.etcd.ranges.slice(-2).map((request) => request.revision)).toEqual([revision, revision]);
    expect(world.story().slice(5).toSorted()).toEqual(['added f', 'removed c expired', 'updated b']);
    expect(world.share.snapshot?.instances.find(({ id }) => id === 'b')?.weight).toBe(99);
  });

  it.each([
    ['the lease', (world: World) => world.etcd.rewrite('/services/s/b', { lease: '8' })],
    ['the version', (world: World) => world.etcd.rewrite('/services/s/b', { version: 5 })],
    ['the revision it was created at', (world: World) => world.etcd.rewrite('/services/s/b', { createRevision: 1 })],
  ])('a key differs by %s alone, too', async (_, change) => {
    const world = await settled(['a', 'b', 'c']);
    change(world);
    await cancel(world);
    expect(asked(world)).toEqual(['keys', '/services/s/b']);
  });

  it('the whole range is read where more than half differs, or more than 16 keys', async () => {
    const few = await settled(['a', 'b', 'c']);
    few.up('s', 'a', { weight: 1 });
    few.etcd.endWatches({ reason: 'canceled' });
    for (const name of ['x', 'y', 'z', 'w']) few.up('s', name);
    await few.clock.advance(100 + MOMENT);
    expect(asked(few)).toEqual(['keys', 'values']);
    expect(few.share.snapshot?.instances).toHaveLength(7);

    for (const [count, expected] of [
      [16, 16 + 1],
      [17, 2],
    ] as const) {
      const world = await settled(Array.from({ length: 100 }, (_, i) => `i${i}`));
      world.etcd.endWatches({ reason: 'canceled' });
      for (let i = 0; i < count; i += 1) world.up('s', `i${i}`, { weight: 77 });
      await world.clock.advance(100 + MOMENT);
      expect(asked(world)).toHaveLength(expected);
      expect(world.share.snapshot?.instances.filter(({ weight }) => weight === 77)).toHaveLength(count);
    }
  });

  it('a foreign value is not read again, however large it is', async () => {
    const world = await settled([]);
    world.up('s', 'a');
    world.etcd.put('/services/s/large', Buffer.alloc(1_400_000, 'x'));
    await world.clock.advance(MOMENT);
    await world.clock.advance(200);
    await cancel(world);
    expect(asked(world)).toEqual(['keys']);
    expect(world.catalog.skippedValues).toBe(1);
  });

  it('the watch of the namespace lists keys, and reads what differs of any service', async () => {
    const world = catalogWorld();
    world.etcd.elect(30);
    for (const service of ['s', 't', 'u']) world.up(service, 'a');
    world.etcd.put('/services', 'of no service');
    world.etcd.put('/services/ /x', 'of no readable service');
    const all = world.catalog.acquireNamespace();
    await world.clock.advance(MOMENT);
    world.etcd.ranges.length = 0;
    world.etcd.endWatches({ reason: 'canceled' });
    world.up('t', 'b');
    await world.clock.advance(100 + MOMENT);
    expect(world.etcd.ranges.map(({ key, keysOnly }) => [key, keysOnly])).toEqual([
      ['/services/', true],
      ['/services/t/b', undefined],
    ]);
    expect([...all.snapshots].map(([name, { instances }]) => [name, instances.length])).toEqual([
      ['s', 1],
      ['t', 2],
      ['u', 1],
    ]);
  });
});

describe('values are read, because keys would not show what happened,', () => {
  /** The same keys at the same revisions and leases, with other values behind them. */
  const restoreAlike = ({ etcd }: World, backup: number) => {
    etcd.restore(backup);
    etcd.put('/services/s/b', stored('s', 'b', { weight: 66 }));
  };
  const weightOfB = ({ share }: World) => share.snapshot?.instances.find(({ id }) => id === 'b')?.weight;

  const beforeTheRestore = async (term: number) => {
    const world = catalogWorld();
    world.etcd.elect(term);
    world.up('s', 'a');
    const backup = world.etcd.revision;
    world.up('s', 'b');
    const share = await listed(world);
    world.etcd.ranges.length = 0;
    return { world: { ...world, ...share }, backup };
  };

  it.each([
    ['an etcd that was never restarted, so that the term is the same', 2],
    ['an etcd that was', 3],
    ['one in a late term', 30],
  ])('when the connection broke and %s was restored alike', async (_, term) => {
    const { world, backup } = await beforeTheRestore(term);
    world.etcd.goDown();
    restoreAlike(world, backup);
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(asked(world).at(-1)).toBe('values');
    expect(weightOfB(world)).toBe(66);
  });

  it('when the stream broke, although etcd said why', async () => {
    const { world, backup } = await beforeTheRestore(2);
    restoreAlike(world, backup);
    world.etcd.endWatches({ reason: 'error', error: new EtcdRequestError('auth', 'authentication failed') });
    await world.clock.advance(RESYNC);
    expect(weightOfB(world)).toBe(66);
  });

  it('when the connection broke after the watch had been cancelled', async () => {
    const { world, backup } = await beforeTheRestore(2);
    world.etcd.endWatches({ reason: 'canceled' });
    world.etcd.goDown();
    restoreAlike(world, backup);
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(weightOfB(world)).toBe(66);
  });

  it('when the connection was lost for longer than a heartbeat, whatever the term says', async () => {
    for (const [awayMs, expected] of [
      [3_000, 'keys'],
      [3_001, 'values'],
    ] as const) {
      const world = await settled(['a', 'b', 'c']);
      world.etcd.goDown();
      await world.clock.advance(awayMs);
      world.etcd.comeBack();
      await world.clock.advance(RESYNC);
      expect(asked(world)).toEqual([expected]);
    }
  });

  it('when etcd had gone silent', async () => {
    const world = await settled(['a', 'b']);
    world.etcd.endWatches({ reason: 'silent' });
    await world.clock.advance(RESYNC);
    expect(asked(world)).toEqual(['values']);
  });

  it('when lists were refused for longer than a heartbeat', async () => {
    const world = await settled(['a', 'b']);
    const refusal = new EtcdRequestError('permission-denied', 'etcdserver: permission denied');
    world.etcd.rangeFailures.push(...Array.from({ length: 8 }, () => refusal));
    world.etcd.endWatches({ reason: 'canceled', error: refusal });
    await world.clock.advance(15_000);
    expect(world.share.health.state).toBe('live');
    expect(asked(world)[0]).toBe('keys');
    expect(asked(world).at(-1)).toBe('values');
  });

  it.each(['revision', 'term', 'cluster'] as const)(
    'when the %s of the answer is not that of the cache',
    async (what) => {
      const world = await settled(['a', 'b', 'c']);
      world.etcd.endWatches({ reason: 'canceled' });
      if (what === 'revision') world.etcd.restore(world.etcd.revision - 1);
      if (what === 'term') world.etcd.elect(29);
      if (what === 'cluster') world.etcd.clusterId = 'another';
      await world.clock.advance(100 + MOMENT);
      expect(asked(world)).toEqual(['keys', 'values']);
    },
  );

  it('in the reconciling list, and in the first one', async () => {
    const world = await settled(['a', 'b'], { random: () => 0.5 });
    const { etcd } = world;
    etcd.rewrite('/services/s/b', { value: stored('s', 'b', { weight: 55 }) });
    await world.clock.advance(299_000);
    expect(asked(world)).toEqual([]);
    await world.clock.advance(2_000);
    expect(asked(world)).toEqual(['values']);
    expect(weightOfB(world)).toBe(55);

    const other = catalogWorld();
    other.up('s', 'a');
    await listed(other);
    expect(other.etcd.ranges.map(({ keysOnly }) => keysOnly)).toEqual([false, false]);
  });

  it('when etcd is restored between the list of keys and the reading of what differs', async () => {
    const world = await settled(['a', 'b', 'c']);
    world.etcd.endWatches({ reason: 'canceled' });
    world.up('s', 'b', { weight: 5 });
    world.up('s', 'x');
    const { revision } = world.etcd;
    const before = world.etcd.range.bind(world.etcd);
    let restored = false;
    world.etcd.range = (request, options) => {
      if (!restored && request.key === '/services/s/b') {
        restored = true;
        world.etcd.restore(revision - 2);
        world.etcd.put('/services/s/b', stored('s', 'b', { weight: 66 }));
        world.etcd.put('/services/s/y', stored('s', 'y'));
      }
      return before(request, options);
    };
    await world.clock.advance(RESYNC);
    expect(restored).toBe(true);
    expect(idsOf(world.share.snapshot)).toEqual(['a', 'b', 'c', 'y']);
    expect(weightOfB(world)).toBe(66);
  });
});
