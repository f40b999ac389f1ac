import { describe, expect, it, vi } from 'vitest';
import {
  catalogWorld,
  discoveryOptions,
  follow,
  idsOf,
  listed,
  MOMENT,
  stored,
} from '../../test/support/catalog-world.js';

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
    const share = world.catalog.acquire('s');
    const complete = async () => {
      await world.clock.advance(1);
      expect(share.snapshot?.instances).toHaveLength(2_500);
    };
    await vi.waitFor(complete, { timeout: 10_000, interval: 1 });
    expect(world.etcd.ranges.filter(({ key }) => key.startsWith('/services/s/'))).toHaveLength(4);
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
    world.up('s', 'a', { port: 1 });
    world.up('s', 'b', { port: 2 });
    const { story } = await listed(world);
    world.down('s', 'a');
    await world.clock.advance(200);
    expect(story()).toEqual(['added a', 'added b', 'removed a expired']);
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
