import { describe, expect, it, vi } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import {
  catalogWorld,
  discoveryOptions,
  idsOf,
  listed,
  MOMENT,
  RESYNC,
  stored,
} from '../../test/support/catalog-world.js';

describe('when the watch ends', () => {
  it.each([
    ['by an error', { reason: 'error', error: new EtcdRequestError('unreachable', 'reset') }],
    ['in silence', { reason: 'silent' }],
    ['because etcd cancelled it', { reason: 'canceled' }],
    ['because it was compacted', { reason: 'compacted', compactRevision: 3 }],
  ] as const)('%s, the next list brings what was missed, once', async (_, end) => {
    const world = catalogWorld();
    world.up('s', 'a');
    world.up('s', 'b');
    const { share, story } = await listed(world);
    world.etcd.endWatches(end);
    expect(share.health.state).toBe('live');
    world.up('s', 'c');
    world.down('s', 'a');
    world.up('s', 'b', { weight: 99 });
    await world.clock.advance(RESYNC);
    expect(story()).toEqual(['added a', 'added b', 'updated b', 'added c', 'removed a expired']);
    expect(idsOf(share.snapshot)).toEqual(['b', 'c']);
    expect(share.health.state).toBe('live');
    expect(world.etcd.openWatches).toHaveLength(2);
  });

  it('the known instances stay in use and the health says since when and why', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { share } = await listed(world);
    world.etcd.goDown();
    await world.clock.advance(3_600_000);
    expect(idsOf(share.snapshot)).toEqual(['a']);
    expect(share.health).toMatchObject({ state: 'stale', error: { message: 'connect ECONNREFUSED fake:2379' } });
  });

  it('nothing is asked of etcd until the gate opens', async () => {
    const world = catalogWorld();
    await listed(world);
    const asked = world.etcd.ranges.length;
    world.etcd.goDown();
    await world.clock.advance(3_600_000);
    expect(world.etcd.ranges).toHaveLength(asked);
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(world.etcd.ranges).toHaveLength(asked + 2);
    expect(world.clock.pending).toBe(1);
  });

  it('what had not been pushed yet keeps its reason', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { story } = await listed(world);
    world.up('s', 'a', { status: 'draining' });
    world.down('s', 'a');
    await world.clock.advance(1);
    world.etcd.endWatches({ reason: 'canceled' });
    await world.clock.advance(RESYNC);
    expect(story()).toEqual(['added a', 'removed a drained']);
  });

  it('one of the two takes the other along, and both come back', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { share, story } = await listed(world);
    world.etcd.endWatches({ reason: 'canceled' }, ({ rangeEnd }) => rangeEnd === undefined);
    await world.clock.advance(0);
    expect(world.etcd.openWatches).toHaveLength(0);
    world.etcd.put('/services/s', '10.0.0.9:9000');
    world.up('s', 'b');
    await world.clock.advance(RESYNC);
    expect(world.etcd.openWatches).toHaveLength(2);
    expect(idsOf(share.snapshot)).toEqual(['/services/s', 'a', 'b']);
    expect(story()).toHaveLength(3);
  });

  it('after a lost connection the lists of clients with a cache spread over 1.5 s', async () => {
    const waits: number[] = [];
    for (let client = 0; client < 60; client += 1) {
      const world = catalogWorld({ random: () => client / 60 });
      await listed(world);
      const asked = world.etcd.ranges.length;
      const lostAt = world.clock.now();
      world.etcd.goDown();
      world.etcd.comeBack();
      while (world.etcd.ranges.length === asked) await world.clock.advance(5);
      waits.push(world.clock.now() - lostAt);
      await world.catalog.close();
    }
    expect(Math.max(...waits)).toBeGreaterThan(1_400);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1_505);
    const perTenth = Array.from({ length: 15 }, (_, i) => waits.filter((ms) => Math.floor(ms / 100) === i).length);
    expect(Math.max(...perTenth)).toBeLessThanOrEqual(6);
  });

  it('without a lost connection the first list follows within 100 ms', async () => {
    const world = catalogWorld({ random: () => 0.999 });
    const { share } = await listed(world);
    world.etcd.endWatches({ reason: 'canceled' });
    world.up('s', 'a');
    await world.clock.advance(100 + MOMENT);
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });

  it('again and again, the lists become rare instead of a loop', async () => {
    const world = catalogWorld({ random: () => 0.5 });
    await listed(world);
    const asked = world.etcd.ranges.length;
    for (let second = 0; second < 600; second += 1) {
      world.etcd.endWatches({ reason: 'canceled' });
      await world.clock.advance(100);
    }
    expect((world.etcd.ranges.length - asked) / 2).toBeLessThanOrEqual(60);
    expect((world.etcd.ranges.length - asked) / 2).toBeGreaterThanOrEqual(40);
  });

  it('what an older attempt still delivers is dropped', async () => {
    const world = catalogWorld();
    const observers: Parameters<typeof world.etcd.watch>[1][] = [];
    const watch = world.etcd.watch.bind(world.etcd);
    vi.spyOn(world.etcd, 'watch').mockImplementation((request, observer) => {
      observers.push(observer);
      return watch(request, observer);
    });
    world.up('s', 'a');
    const { share, story } = await listed(world);
    world.etcd.endWatches({ reason: 'canceled' });
    await world.clock.advance(RESYNC);
    const header = { clusterId: '1', memberId: '1', revision: 99, raftTerm: 2 };
    const event = {
      type: 'delete',
      key: '/services/s/a',
      value: Buffer.alloc(0),
      createRevision: 0,
      modRevision: 99,
      version: 0,
      lease: '0',
    } as const;
    observers[0]?.events([event], header);
    observers[0]?.end({ reason: 'error' });
    await world.clock.advance(MOMENT);
    expect(idsOf(share.snapshot)).toEqual(['a']);
    expect(story()).toEqual(['added a']);
    expect(world.etcd.openWatches).toHaveLength(2);
  });
});

describe('when a list fails', () => {
  it('it is tried again, and the health says what etcd said', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    world.etcd.rangeFailures.push(
      new EtcdRequestError('permission-denied', 'etcdserver: permission denied'),
      new EtcdRequestError('permission-denied', 'etcdserver: permission denied'),
    );
    const share = world.catalog.acquire('s');
    const healths: string[] = [];
    share.onHealth(({ state, error }) => healths.push(`${state} ${error?.message ?? ''}`.trim()));
    await world.clock.advance(500);
    expect(idsOf(share.snapshot)).toEqual(['a']);
    expect(healths).toEqual(['pending etcdserver: permission denied', 'live']);
    expect(world.log.of('warn')).toEqual(['warn watch of service "s": etcdserver: permission denied']);
  });

  it('because the revision was compacted between two pages, the whole list starts over', async () => {
    const world = catalogWorld();
    world.etcd.write(
      Array.from({ length: 1_001 }, (_, i) => ({ put: `/services/s/i${i}`, value: stored('s', `i${i}`) })),
    );
    const share = world.catalog.acquire('s');
    await world.clock.advance(1);
    world.up('s', 'late');
    world.etcd.compact();
    const complete = async () => {
      await world.clock.advance(10);
      expect(share.snapshot?.instances).toHaveLength(1_002);
    };
    await vi.waitFor(complete, { timeout: 10_000, interval: 1 });
  });

  it('because one endpoint does not answer, nobody is told that etcd refused while there are others to ask', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    world.etcd.frozen = true;
    const share = world.catalog.acquire('s');
    await world.clock.advance(2_100);
    expect(share.health.state).toBe('pending');
    expect(share.health.error).toBeUndefined();
    world.etcd.frozen = false;
    await world.clock.advance(5_000);
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });

  it('because no endpoint answers, health says what the gate was closed for', async () => {
    const world = catalogWorld();
    world.etcd.frozen = true;
    const share = world.catalog.acquire('s');
    await world.clock.advance(1_000);
    world.etcd.gate.set(false, new Error('no answer within 2 s'));
    await world.clock.advance(1_100);
    expect(share.health).toMatchObject({ state: 'pending', error: { message: 'no answer within 2 s' } });
  });

  it('the static addresses serve alone until etcd answers, then beside it', async () => {
    const world = catalogWorld({ options: discoveryOptions({ static: { s: ['10.9.9.9:1'] } }) });
    world.up('s', 'a');
    world.etcd.goDown();
    const { share, story } = await listed(world);
    expect(idsOf(share.snapshot)).toEqual(['10.9.9.9:1']);
    expect(share.health.state).toBe('pending');
    expect(story()).toEqual([]);
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(idsOf(share.snapshot)).toEqual(['10.9.9.9:1', 'a']);
    expect(story()).toEqual(['added a']);
  });
});

describe('etcd that lies', () => {
  it('restored to an older revision is believed at the first contact', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const backup = world.etcd.revision;
    world.up('s', 'b');
    world.up('s', 'c');
    const { share } = await listed(world);
    world.etcd.goDown();
    world.etcd.restore(backup);
    world.up('s', 'd');
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(idsOf(share.snapshot)).toEqual(['a', 'd']);
    world.up('s', 'e');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toEqual(['a', 'd', 'e']);
  });

  it('by a watch in silence is found out by the reconciling list, after 5 min ±20 %', async () => {
    for (const [random, minutes] of [
      [0, 4],
      [0.5, 5],
      [0.999_999, 6],
    ] as const) {
      const world = catalogWorld({ random: () => random });
      const { share } = await listed(world);
      world.etcd.mute = true;
      world.up('s', 'a');
      await world.clock.advance(minutes * 60_000 - 1_000);
      expect(idsOf(share.snapshot)).toEqual([]);
      world.etcd.mute = false;
      world.etcd.endWatches = () => {};
      await world.clock.advance(2_000);
      expect(idsOf(share.snapshot)).toEqual(['a']);
      expect(share.health.state).toBe('live');
      await world.catalog.close();
    }
  });
});
