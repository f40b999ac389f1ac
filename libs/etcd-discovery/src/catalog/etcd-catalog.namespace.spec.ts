import { describe, expect, it } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import {
  catalogWorld,
  discoveryOptions,
  follow,
  idsOf,
  listed,
  MOMENT,
  stored,
} from '../../test/support/catalog-world.js';

const NAMESPACE = { key: '/services/', rangeEnd: '/services0' };

const listedNamespace = async (world: ReturnType<typeof catalogWorld>) => {
  const share = world.catalog.acquireNamespace();
  await world.clock.advance(MOMENT);
  return share;
};

const overview = (share: { snapshots: ReadonlyMap<string, Parameters<typeof idsOf>[0]> }) =>
  Object.fromEntries([...share.snapshots].map(([service, snapshot]) => [service, idsOf(snapshot)]));

describe('a watch of the namespace', () => {
  it('knows every service with one watch', async () => {
    const world = catalogWorld({ options: discoveryOptions({ static: { fixed: ['10.9.9.9:1'] } }) });
    world.up('a', '1');
    world.up('b', '1');
    world.up('b', '2');
    world.etcd.put('/services/old', '10.0.0.9:9000');
    world.etcd.put('/elsewhere/c/1', '10.0.0.9:9000');
    const share = world.catalog.acquireNamespace();
    expect(share.health.state).toBe('pending');
    expect(share.snapshots.size).toBe(0);
    const ready = share.ready();
    await world.clock.advance(MOMENT);
    await ready;
    expect(overview(share)).toEqual({ a: ['1'], b: ['1', '2'], old: ['/services/old'], fixed: ['10.9.9.9:1'] });
    expect(world.etcd.openWatches).toEqual([NAMESPACE]);
    expect(share.health.state).toBe('live');
  });

  it('follows services that come and go', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    const share = await listedNamespace(world);
    world.up('b', '1');
    world.down('a', '1');
    await world.clock.advance(200);
    expect(overview(share)).toEqual({ b: ['1'] });
  });

  it('cannot say that a service acquired while it is stale does not exist: that one asks for itself', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    const share = await listedNamespace(world);
    world.etcd.gate.set(false, new EtcdRequestError('unreachable', 'away'));
    world.etcd.endWatches({ reason: 'error', error: new EtcdRequestError('unreachable', 'away') });
    await world.clock.advance(MOMENT);
    expect(share.health.state).toBe('stale');
    const late = world.catalog.acquire('late');
    expect(late.snapshot).toBeUndefined();
    world.up('late', '1');
    world.etcd.gate.set(true);
    await world.clock.advance(2_000);
    expect(idsOf(late.snapshot)).toEqual(['1']);
  });

  it('serves services acquired while it is live, existing or not, without a second watch', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    await listedNamespace(world);
    const [known, unknown] = [world.catalog.acquire('a'), world.catalog.acquire('b')];
    expect(idsOf(known.snapshot)).toEqual(['1']);
    expect(idsOf(unknown.snapshot)).toEqual([]);
    expect(unknown.health.state).toBe('live');
    const { story } = follow(unknown);
    world.up('b', '1');
    await world.clock.advance(200);
    expect(story()).toEqual(['added 1']);
    expect(world.etcd.openWatches).toEqual([NAMESPACE]);
    expect(world.etcd.ranges).toHaveLength(1);
  });

  it('speaks for the health of every service it serves, those acquired before its first list included', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    world.catalog.acquireNamespace();
    const before = world.catalog.acquire('b');
    await world.clock.advance(MOMENT);
    expect(before.health.state).toBe('live');
    expect(world.catalog.acquire('a').health.state).toBe('live');
  });

  it('takes over services acquired before it, telling nothing twice', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    const share = world.catalog.acquire('a');
    const { story } = follow(share);
    await world.clock.advance(MOMENT);
    await listedNamespace(world);
    expect(world.etcd.openWatches).toEqual([NAMESPACE]);
    world.up('a', '2');
    await world.clock.advance(200);
    expect(story()).toEqual(['added 1', 'added 2']);
  });

  it('leaves a service alone whose own watch is ahead of its list', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    const share = world.catalog.acquire('a');
    const { story } = follow(share);
    await world.clock.advance(500);
    // The list is answered at this revision, and arrives after the own watch has told of the next one.
    const range = world.etcd.range.bind(world.etcd);
    world.etcd.range = async (request, options) => {
      const response = await range(request, options);
      await new Promise<void>((resolve) => world.clock.after(50, resolve));
      return response;
    };
    world.catalog.acquireNamespace();
    await world.clock.advance(5);
    world.up('a', '2');
    await world.clock.advance(500);
    world.up('a', '3');
    await world.clock.advance(500);
    expect(story()).toEqual(['added 1', 'added 2', 'added 3']);
    expect(world.etcd.openWatches).toHaveLength(3);
  });

  it('keeps a service that it left to its own watch, although its last user goes', async () => {
    const world = catalogWorld();
    world.up('s', 'a');
    const { share } = await listed(world);
    world.etcd.put('/services/s/b', stored('s', 'b'));
    await world.clock.advance(200);
    // What the namespace is told is older than what the service knows: its list was read before.
    const range = world.etcd.range.bind(world.etcd);
    const before = world.etcd.revision - 1;
    world.etcd.range = (request, options) =>
      range({ ...request, revision: before }, options).then((answer) => ({
        ...answer,
        header: { ...answer.header, revision: before },
      }));
    const all = world.catalog.acquireNamespace();
    await world.clock.advance(MOMENT);
    world.etcd.range = range;
    share.release();
    await world.clock.advance(MOMENT);
    expect(idsOf(all.snapshots.get('s'))).toEqual(['a', 'b']);
    world.up('s', 'c');
    await world.clock.advance(200);
    expect(idsOf(all.snapshots.get('s'))).toEqual(['a', 'b', 'c']);
    world.etcd.endWatches({ reason: 'canceled' });
    await world.clock.advance(200);
    expect(idsOf(all.snapshots.get('s'))).toEqual(['a', 'b', 'c']);
    expect(world.etcd.openWatches).toEqual([{ key: '/services/', rangeEnd: '/services0' }]);
    all.release();
    expect(world.etcd.openWatches).toEqual([]);
  });

  it('that cannot be listed does not keep a service from its own watch', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    world.etcd.rangeFailures.push(new EtcdRequestError('permission-denied', 'etcdserver: permission denied'));
    const share = await listedNamespace(world);
    expect(share.health).toMatchObject({ state: 'pending', error: { message: 'etcdserver: permission denied' } });
    const service = world.catalog.acquire('a');
    await world.clock.advance(MOMENT);
    expect(idsOf(service.snapshot)).toEqual(['1']);
  });

  it('given back hands its services to watches of their own, without a gap', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    world.up('b', '1');
    const namespace = await listedNamespace(world);
    const share = world.catalog.acquire('a');
    const { story } = follow(share);
    namespace.release();
    world.up('a', '2');
    world.down('a', '1');
    expect(idsOf(share.snapshot)).toEqual(['1']);
    await world.clock.advance(200);
    expect(story()).toEqual(['added 2', 'removed 1 expired']);
    expect(world.etcd.openWatches.map(({ key }) => key)).toEqual(['/services/a/', '/services/a']);
    expect(world.catalog.peek('b')).toBeUndefined();
    share.release();
    expect(world.clock.pending).toBe(0);
  });

  it('given back while its list is passed on leaves no service that nobody watches', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    // More than is passed on in one turn of the event loop.
    for (let i = 0; i < 1_000; i += 1) world.up('b', String(i));
    world.up('c', '1');
    const namespace = world.catalog.acquireNamespace();
    const kept = world.catalog.acquire('c');
    while (!world.catalog.peek('a')) await world.clock.advance(1);
    expect(world.catalog.peek('b')).toBeUndefined();
    namespace.release();
    expect(world.catalog.peek('a')).toBeUndefined();
    world.down('a', '1');
    world.up('a', '2');
    const share = world.catalog.acquire('a');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toEqual(['2']);
    expect(idsOf(kept.snapshot)).toEqual(['1']);
    kept.release();
    share.release();
    expect(world.clock.pending).toBe(0);
  });

  it('has one watch for all who share it, and ends with the last', async () => {
    const world = catalogWorld();
    const first = await listedNamespace(world);
    const second = world.catalog.acquireNamespace();
    await second.ready();
    first.release();
    first.release();
    expect(world.etcd.openWatches).toEqual([NAMESPACE]);
    second.release();
    expect(world.etcd.openWatches).toEqual([]);
    await world.clock.advance(MOMENT);
    expect(world.clock.pending).toBe(0);
  });

  it('comes back after a lost connection with the difference', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    world.up('b', '1');
    const share = await listedNamespace(world);
    const { story } = follow(world.catalog.acquire('a'));
    world.etcd.goDown();
    world.down('b', '1');
    world.up('a', '2');
    await world.clock.advance(60_000);
    expect(overview(share)).toEqual({ a: ['1'], b: ['1'] });
    expect(share.health.state).toBe('stale');
    expect(world.catalog.acquire('a').health.state).toBe('stale');
    world.etcd.comeBack();
    await world.clock.advance(1_600);
    expect(overview(share)).toEqual({ a: ['1', '2'] });
    expect(story()).toEqual(['added 2']);
  });

  it('skips junk and names that mean something to JavaScript', async () => {
    const world = catalogWorld();
    world.up('a', '1');
    world.etcd.put('/services/__proto__/x', '10.0.0.1:1');
    world.etcd.put('/services/constructor/x', '10.0.0.1:1');
    world.etcd.put('/services/README', 'hello');
    world.etcd.put('/services//x', '10.0.0.1:1');
    const share = await listedNamespace(world);
    expect(overview(share)).toEqual({ a: ['1'], constructor: ['x'] });
  });

  it('ends with the catalog and rejects who waits', async () => {
    const world = catalogWorld();
    const ready = world.catalog.acquireNamespace().ready();
    await world.catalog.close();
    await expect(ready).rejects.toMatchObject({ code: 'CLOSED' });
    await world.clock.advance(MOMENT);
    expect(world.clock.pending).toBe(0);
    expect(() => world.catalog.acquireNamespace()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });
});
