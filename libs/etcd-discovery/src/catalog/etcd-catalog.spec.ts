import { describe, expect, it, vi } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { catalogWorld, discoveryOptions, follow, idsOf, stored } from '../../test/support/catalog-world.js';

/** Long enough for a list and the opening of the watches, far shorter than any timer of the catalog. */
const MOMENT = 10;
/** The longest wait before a list after a lost connection, and the list. */
const RESYNC = 1_500 + MOMENT;

const listed = async (world: ReturnType<typeof catalogWorld>, service = 's') => {
  const share = world.catalog.acquire(service);
  const story = follow(share);
  await world.clock.advance(MOMENT);
  return { share, ...story };
};

describe('acquiring a service', () => {
  it('lists at one revision and watches from the next: nothing written in between is missed', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const share = world.catalog.acquire('s');
    const { story } = follow(share);
    expect(share.snapshot).toBeUndefined();
    expect(share.health.state).toBe('pending');
    await world.clock.advance(1);
    world.up('s', 'b');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toEqual(['a', 'b']);
    expect(story()).toEqual(['added a', 'added b']);
    expect(share.health.state).toBe('live');
  });

  it('reads both ranges at the same revision and through the connection of the watch', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const range = vi.spyOn(world.etcd, 'range');
    world.catalog.acquire('s');
    await world.clock.advance(1);
    world.up('s', 'b');
    await world.clock.advance(MOMENT);
    expect(range.mock.calls.map(([{ key, revision }, options]) => [key, revision || 'now', options?.via])).toEqual([
      ['/services/s/', 'now', 'watch'],
      ['/services/s', 2, 'watch'],
    ]);
  });

  it('has one watch per service, whatever the number of users', async () => {
    const world = catalogWorld();
    const shares = Array.from({ length: 5 }, () => world.catalog.acquire('s'));
    await world.clock.advance(MOMENT);
    expect(world.etcd.ranges).toHaveLength(2);
    expect(world.etcd.openWatches).toEqual([{ key: '/services/s/', rangeEnd: '/services/s0' }, { key: '/services/s' }]);
    for (const share of shares.slice(1)) share.release();
    shares[1]?.release();
    expect(world.etcd.openWatches).toHaveLength(2);
    shares[0]?.release();
    expect(world.etcd.openWatches).toHaveLength(0);
    expect(world.clock.pending).toBe(0);
  });

  it('never sees the neighbour whose name begins alike', async () => {
    const world = catalogWorld();
    world.up('s-v2', 'a');
    world.up('s.x', 'b');
    const { share, story } = await listed(world);
    world.up('s-v2', 'c');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toEqual([]);
    expect(story()).toEqual([]);
  });

  it('gives the snapshot to those who come later at once', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    await listed(world);
    const late = world.catalog.acquire('s');
    expect(idsOf(late.snapshot)).toEqual(['a']);
    expect(idsOf(await late.ready())).toEqual(['a']);
    expect(idsOf(world.catalog.peek('s'))).toEqual(['a']);
    expect(world.catalog.peek('unwatched')).toBeUndefined();
  });

  it('refuses names that cannot be a service', () => {
    const { catalog } = catalogWorld();
    for (const name of ['', 'a/b', '../x', 'x'.repeat(200)]) {
      expect(() => catalog.acquire(name)).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }));
    }
  });

  it('reads the list page by page', async () => {
    const world = catalogWorld();
    world.etcd.write(
      Array.from({ length: 2_500 }, (_, i) => ({ put: `/services/s/i${i}`, value: stored('s', `i${i}`) })),
    );
    const { share } = await listed(world);
    expect(share.snapshot?.instances).toHaveLength(2_500);
    expect(world.etcd.ranges.filter(({ key }) => key.startsWith('/services/s/'))).toHaveLength(3);
  });
});

describe('instances that come and go', () => {
  it('leave at their draining mark, and the delete after it is silent', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { share, story } = await listed(world);
    await world.clock.advance(100);
    world.up('s', 'a', { status: 'draining' });
    await world.clock.advance(2);
    expect(idsOf(share.snapshot)).toEqual([]);
    world.down('s', 'a');
    await world.clock.advance(200);
    expect(story()).toEqual(['added a', 'removed a drained']);
  });

  it('leave as expired when their key goes without a mark', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { story } = await listed(world);
    world.down('s', 'a');
    await world.clock.advance(200);
    expect(story()).toEqual(['added a', 'removed a expired']);
  });

  it('are pushed at once after quiet, and a storm of them ten times a second', async () => {
    const world = catalogWorld();
    const { snapshots } = await listed(world);
    await world.clock.advance(1_000);
    world.up('s', 'first');
    await world.clock.advance(1);
    expect(snapshots).toHaveLength(2);
    for (let i = 0; i < 500; i += 1) {
      world.up('s', `i${i}`);
      await world.clock.advance(2);
    }
    await world.clock.advance(200);
    expect(snapshots.length).toBeGreaterThanOrEqual(11);
    expect(snapshots.length).toBeLessThanOrEqual(13);
    expect(snapshots.at(-1)?.instances).toHaveLength(501);
  });

  it('of a plain key stand beside the others', async () => {
    const world = catalogWorld();
    world.etcd.put('/services/s', '10.0.0.9:9000');
    world.up('s', 's');
    const { share, story } = await listed(world);
    expect(share.snapshot?.instances.map(({ address, format }) => [address, format])).toEqual([
      ['10.0.0.9:9000', 'plain'],
      ['10.0.0.7:8080', 'native'],
    ]);
    world.etcd.delete('/services/s');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toEqual(['s']);
    expect(story().at(-1)).toBe('removed /services/s expired');
  });

  it('of a plain key are not read where that is switched off', async () => {
    const world = catalogWorld({ options: discoveryOptions({ plainKeys: false }) });
    world.etcd.put('/services/s', '10.0.0.9:9000');
    const { share } = await listed(world);
    expect(idsOf(share.snapshot)).toEqual([]);
    expect(world.etcd.openWatches).toHaveLength(1);
  });

  it('that cannot be read hurt nobody else, and are told once a minute', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    world.etcd.put('/services/s/b', '{"broken');
    world.etcd.put('/services/s/c', Buffer.from([0xff, 0xfe, 0]));
    world.etcd.put('/services/s/deep/er', '10.0.0.1:1');
    const { share } = await listed(world);
    world.etcd.put('/services/s/b', 'still broken');
    await world.clock.advance(30_000);
    expect(idsOf(share.snapshot)).toEqual(['a']);
    expect(world.catalog.skippedValues).toBe(4);
    expect(world.log.of('warn')).toHaveLength(1);
    expect(world.log.of('warn')[0]).toContain('skipped 3 values of service "s"');
    await world.clock.advance(31_000);
    expect(world.log.of('warn')).toHaveLength(2);
  });

  it('may be refused by the one who opened the catalog', async () => {
    const world = catalogWorld({ accept: ({ port }) => port === 8080 || `port ${port} is not allowed` });
    world.up('s', 'a');
    world.up('s', 'b', { port: 22 });
    const { share } = await listed(world);
    expect(idsOf(share.snapshot)).toEqual(['a']);
    expect(world.log.of('warn')[0]).toContain('port 22 is not allowed');
  });

  it('replayed by a server with that defect change nothing', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { share, story } = await listed(world);
    world.up('s', 'b');
    world.down('s', 'b');
    await world.clock.advance(500);
    const before = story();
    world.etcd.replay(1);
    await world.clock.advance(500);
    expect(story()).toEqual(before);
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });
});

describe('a listener', () => {
  it('that throws is logged and hurts nobody else', async () => {
    const world = catalogWorld();
    const share = world.catalog.acquire('s');
    share.onChange(() => {
      throw new Error('mine');
    });
    const { snapshots } = follow(share);
    world.up('s', 'a');
    await world.clock.advance(200);
    expect(snapshots.length).toBeGreaterThan(0);
    expect(world.log.of('error')[0]).toContain('mine');
  });

  it('is not called for what is there already, nor after it unsubscribed or its share was released', async () => {
    const world = catalogWorld();
    const { share } = await listed(world);
    const other = world.catalog.acquire('s');
    const [first, second] = [vi.fn(), vi.fn()];
    const stop = share.onChange(first);
    other.onChange(second);
    expect(first).not.toHaveBeenCalled();
    stop();
    other.release();
    world.up('s', 'a');
    await world.clock.advance(200);
    expect(first).not.toHaveBeenCalled();
    expect(second).not.toHaveBeenCalled();
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });
});

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
    expect((world.etcd.ranges.length - asked) / 2).toBeLessThanOrEqual(90);
    expect((world.etcd.ranges.length - asked) / 2).toBeGreaterThanOrEqual(60);
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
    await world.clock.advance(200);
    expect(share.snapshot?.instances).toHaveLength(1_002);
  });

  it('because etcd does not answer, calls run into their deadline and the list comes when it answers', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    world.etcd.frozen = true;
    const share = world.catalog.acquire('s');
    await world.clock.advance(2_100);
    expect(share.health).toMatchObject({ state: 'pending', error: { message: 'etcd did not answer within 2 s' } });
    world.etcd.frozen = false;
    await world.clock.advance(5_000);
    expect(idsOf(share.snapshot)).toEqual(['a']);
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

describe('release and close', () => {
  it('during the list stop it and leave no timer', async () => {
    const world = catalogWorld();
    const share = world.catalog.acquire('s');
    const ready = share.ready();
    share.release();
    share.release();
    await expect(ready).rejects.toMatchObject({ code: 'ABORTED' });
    await world.clock.advance(1_000);
    expect(world.etcd.openWatches).toHaveLength(0);
    expect(world.clock.pending).toBe(0);
  });

  const states: [string, (world: ReturnType<typeof catalogWorld>) => Promise<unknown>][] = [
    ['listing', () => Promise.resolve()],
    [
      'listing from a frozen etcd',
      async (world) => {
        world.etcd.frozen = true;
        await world.clock.advance(500);
      },
    ],
    ['opening the watch', (world) => world.clock.advance(2)],
    ['watching', (world) => world.clock.advance(1_000)],
    [
      'holding back a push',
      async (world) => {
        await world.clock.advance(MOMENT);
        world.up('s', 'a');
        await world.clock.advance(5);
        world.up('s', 'b');
        await world.clock.advance(5);
      },
    ],
    [
      'waiting for the gate',
      async (world) => {
        await world.clock.advance(MOMENT);
        world.etcd.goDown();
        await world.clock.advance(MOMENT);
      },
    ],
    [
      'backing off',
      async (world) => {
        await world.clock.advance(MOMENT);
        world.etcd.goDown();
        world.etcd.comeBack();
        await world.clock.advance(1);
      },
    ],
    [
      'keeping quiet about junk',
      async (world) => {
        world.etcd.put('/services/s/x', 'junk');
        await world.clock.advance(MOMENT);
        world.etcd.put('/services/s/x', 'junk');
        await world.clock.advance(200);
      },
    ],
  ];

  it.each(states)('closing while %s leaves nothing', async (_, reach) => {
    const world = catalogWorld({ random: () => 0.5 });
    const share = world.catalog.acquire('s');
    const closed = vi.fn();
    world.catalog.onClose(closed);
    await reach(world);
    const changed = vi.fn();
    share.onChange(changed);
    await world.catalog.close();
    await world.catalog.close();
    expect(closed).toHaveBeenCalledTimes(1);
    // The fake's own deliveries, which are still under way.
    await world.clock.advance(2_000);
    expect(world.clock.pending).toBe(0);
    expect(world.etcd.openWatches).toHaveLength(0);
    expect(world.etcd.gate.listenerCount).toBe(0);
    expect(changed).not.toHaveBeenCalled();
    await expect(share.ready()).rejects.toMatchObject({ code: 'CLOSED' });
    share.release();
    expect(() => world.catalog.acquire('s')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('cancels the push that is held back', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    await listed(world);
    world.up('s', 'b');
    await world.clock.advance(5);
    // The reconciling list and the push.
    expect(world.clock.pending).toBe(2);
    await world.catalog.close();
    expect(world.clock.pending).toBe(0);
  });

  it('rejects who waits with CLOSED', async () => {
    const world = catalogWorld();
    const ready = world.catalog.acquire('s').ready();
    void world.catalog.close();
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('ends a wait by its signal and goes on for the others', async () => {
    const world = catalogWorld();
    const controller = new AbortController();
    const share = world.catalog.acquire('s');
    const [mine, other] = [share.ready(controller.signal), share.ready()];
    controller.abort();
    await expect(mine).rejects.toMatchObject({ code: 'ABORTED' });
    await world.clock.advance(MOMENT);
    await expect(other).resolves.toMatchObject({ service: 's' });
  });

  it('stops asking when the client under it was closed first', async () => {
    const world = catalogWorld();
    await listed(world);
    const asked = world.etcd.ranges.length;
    await world.etcd.close();
    await world.clock.advance(600_000);
    expect(world.etcd.ranges).toHaveLength(asked);
    expect(world.clock.pending).toBe(0);
  });
});
