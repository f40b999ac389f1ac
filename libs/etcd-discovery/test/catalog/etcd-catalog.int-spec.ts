import { afterEach, beforeAll, afterAll, describe, expect, inject, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { prefixRange, listRange } from '../../src/etcd/key-range.js';
import { follow, idsOf, stored } from '../support/catalog-world.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';
import { seededRandom } from '../support/fake-clock.js';

const worlds: EtcdWorld[] = [];
const open = async (...args: Parameters<typeof etcdWorld>) => {
  const world = await etcdWorld(...args);
  worlds.push(world);
  return world;
};

afterEach(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.close()));
});

/** What etcd holds of a service, asked without the catalog. */
const truth = async ({ writer, namespace }: EtcdWorld, service: string): Promise<string[]> => {
  const ids: string[] = [];
  const prefix = `${namespace}/${service}/`;
  for await (const page of listRange(writer, prefixRange(prefix))) {
    for (const { key, value } of page.kvs) {
      if (value.includes('"status":"up"')) ids.push(key.slice(prefix.length));
    }
  }
  return ids.toSorted();
};

describe('a catalog over a real etcd', () => {
  it('follows instances that come, change, drain, are deleted and expire', async () => {
    const world = await open(inject('etcdEndpoint'));
    const short = await world.writer.grantLease(600);
    await world.up('s', 'a');
    await world.up('s', 'b', { lease: short.id });
    const share = world.catalog.acquire('s');
    const { story, events } = follow(share);
    await share.ready();
    expect(idsOf(share.snapshot)).toEqual(['a', 'b']);
    await vi.waitFor(() => expect(share.health.state).toBe('live'));

    await world.up('s', 'c', { port: 9090 });
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['a', 'b', 'c']));
    await world.up('s', 'c', { port: 9090, weight: 99 });
    await vi.waitFor(() => expect(share.snapshot?.instances[2]?.weight).toBe(99));
    await world.up('s', 'a', { status: 'draining' });
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['b', 'c']));
    await world.down('s', 'a');
    await world.writer.revokeLease(short.id);
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['c']));
    await world.put(`${world.namespace}/s`, '10.0.0.9:9000');
    await vi.waitFor(() => expect(share.snapshot?.instances).toHaveLength(2));

    expect(story().map((line) => line.replace(world.namespace, ''))).toEqual([
      'added a',
      'added b',
      'added c',
      'updated c',
      'removed a drained',
      'removed b expired',
      'added /s',
    ]);
    const revisions = events.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((x, y) => x - y));
  });

  it('lists thousands of instances while others are written, and misses none', async () => {
    const world = await open(inject('etcdEndpoint'));
    const batch = (from: number) =>
      world.writer.txn({
        compare: [],
        success: Array.from({ length: 100 }, (_, i) => {
          const id = `i${from + i}`;
          return { type: 'put' as const, key: world.key('s', id), value: stored('s', id), lease: '0' };
        }),
      });
    for (let from = 0; from < 2_500; from += 100) await batch(from);
    const share = world.catalog.acquire('s');
    for (let from = 2_500; from < 3_500; from += 100) await batch(from);
    await vi.waitFor(() => expect(share.snapshot?.instances).toHaveLength(3_500), 5_000);
    await world.writer.txn({
      compare: [],
      success: Array.from({ length: 100 }, (_, i) => ({ type: 'delete' as const, key: world.key('s', `i${i}`) })),
    });
    await vi.waitFor(() => expect(share.snapshot?.instances).toHaveLength(3_400), 5_000);
    for (let from = 100; from < 3_500; from += 100) {
      await world.writer.txn({
        compare: [],
        success: Array.from({ length: 100 }, (_, i) => ({
          type: 'delete' as const,
          key: world.key('s', `i${from + i}`),
        })),
      });
    }
  });

  it('is not hurt by values nobody can read', async () => {
    const world = await open(inject('etcdEndpoint'));
    await world.up('s', 'a');
    await world.put(world.key('s', 'json'), '{"Addr":');
    await world.put(world.key('s', 'bytes'), Buffer.from([0, 255, 254]));
    await world.put(world.key('s', 'large'), Buffer.alloc(1_400_000, 'x'));
    await world.put(world.key('s', 'deep/er'), '10.0.0.1:1');
    const share = world.catalog.acquire('s');
    await share.ready();
    expect(idsOf(share.snapshot)).toEqual(['a']);
    await world.put(world.key('s', 'large'), Buffer.alloc(1_400_000, 'y'));
    await world.up('s', 'b');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['a', 'b']), 5_000);
    expect(world.catalog.skippedValues).toBe(5);
    expect(world.log.of('warn')).toHaveLength(1);
  });

  it('equals etcd after random writes, by the watch of a service and by that of the namespace', async () => {
    const seed = 20_260_131;
    const random = seededRandom(seed);
    const world = await open(inject('etcdEndpoint'));
    const other = await open(inject('etcdEndpoint'));
    const services = ['a', 'a-v2', 'a.b'];
    const shares = services.map((service) => world.catalog.acquire(service));
    const stories = shares.map(follow);
    const namespace = other.catalog.acquireNamespace();
    await namespace.ready();
    const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
    for (let write = 0; write < 300; write += 1) {
      const [service, id] = [pick(services), pick(['1', '2', '3', '4'])];
      for (const { up, down } of [world, other]) {
        if (random() < 0.6)
          await up(service, id, { weight: 1 + Math.floor(random() * 100), status: random() < 0.2 ? 'draining' : 'up' });
        else await down(service, id);
      }
    }
    for (const [index, service] of services.entries()) {
      const [own, others] = [await truth(world, service), await truth(other, service)];
      await vi.waitFor(() => expect(idsOf(shares[index]?.snapshot), `seed ${seed}`).toEqual(own), 5_000);
      await vi.waitFor(
        () => expect(idsOf(namespace.snapshots.get(service)) ?? [], `seed ${seed}`).toEqual(others),
        5_000,
      );
      // The events alone lead to the same instances: none is missing, none came twice.
      const live = new Set<string>();
      for (const { type, instance } of stories[index]?.events ?? []) {
        expect(live.has(instance.id), `${type} ${instance.id}, seed ${seed}`).toBe(type !== 'added');
        if (type === 'removed') live.delete(instance.id);
        else live.add(instance.id);
      }
      expect([...live].toSorted()).toEqual(own);
    }
  });
});

describe('a catalog over an etcd of its own', () => {
  let server: EtcdServer;

  beforeAll(async () => {
    server = await EtcdServer.start();
  });

  afterAll(() => server.stop());

  const metric = async (name: string): Promise<number> => {
    const text = await fetch(`http://${server.endpoint}/metrics`).then((response) => response.text());
    return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1]);
  };

  it('has one watch stream, two watches per service and none after the last release', async () => {
    const world = await open(server.endpoint);
    const streams = await metric('etcd_debugging_mvcc_watch_stream_total');
    const shares = Array.from({ length: 60 }, (_, i) => world.catalog.acquire(`s${i % 20}`));
    await Promise.all(shares.map((share) => share.ready()));
    await vi.waitFor(async () => expect(await metric('etcd_debugging_mvcc_watcher_total')).toBe(40), 5_000);
    expect(await metric('etcd_debugging_mvcc_watch_stream_total')).toBe(streams + 1);
    for (const share of shares) share.release();
    await vi.waitFor(async () => expect(await metric('etcd_debugging_mvcc_watcher_total')).toBe(0), 5_000);
  });

  it('serves all services with the one watch of the namespace', async () => {
    const world = await open(server.endpoint);
    for (let i = 0; i < 10; i += 1) await world.up(`s${i}`, 'a');
    const early = world.catalog.acquire('s0');
    await early.ready();
    const namespace = world.catalog.acquireNamespace();
    await namespace.ready();
    const shares = Array.from({ length: 10 }, (_, i) => world.catalog.acquire(`s${i}`));
    for (const share of shares) expect(idsOf(share.snapshot)).toEqual(['a']);
    await vi.waitFor(async () => expect(await metric('etcd_debugging_mvcc_watcher_total')).toBe(1), 5_000);
    namespace.release();
    await vi.waitFor(async () => expect(await metric('etcd_debugging_mvcc_watcher_total')).toBe(20), 5_000);
    await world.up('s3', 'b');
    await vi.waitFor(() => expect(idsOf(shares[3]?.snapshot)).toEqual(['a', 'b']));
  });

  it('keeps the last known instances while etcd is killed, and tells only the difference after', async () => {
    const world = await open(server.endpoint);
    for (const id of ['a', 'b']) await world.up('s', id);
    const share = world.catalog.acquire('s');
    const { story } = follow(share);
    await share.ready();
    await vi.waitFor(() => expect(share.health.state).toBe('live'));
    await server.kill();
    await vi.waitFor(() => expect(share.health.state).toBe('stale'), 5_000);
    expect(idsOf(share.snapshot)).toEqual(['a', 'b']);
    expect(share.health.error?.message).toBeTruthy();
    await server.up();
    // Compacted past everything the watch knew, before the catalog can have come back.
    await vi.waitFor(() => world.up('s', 'c'), 10_000);
    await world.down('s', 'a');
    const { header } = await world.writer.range({ key: world.key('s', 'c') });
    await server.etcdctl('compact', String(header.revision));
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['b', 'c']), 10_000);
    await vi.waitFor(() => expect(share.health.state).toBe('live'), 5_000);
    await world.up('s', 'd');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['b', 'c', 'd']));
    expect(story().toSorted()).toEqual(['added a', 'added b', 'added c', 'added d', 'removed a expired']);
  });

  it('believes an etcd that lost its data, and follows it from there', async () => {
    const world = await open(server.endpoint);
    await world.up('s', 'a');
    const share = world.catalog.acquire('s');
    await share.ready();
    await server.kill();
    await server.wipe();
    await server.up();
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual([]), 10_000);
    await world.put(world.key('s', 'b'), stored('s', 'b'), '0');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['b']), 5_000);
  });

  it('finds a service that was never listed when etcd comes', async () => {
    const world = await open(server.endpoint);
    await server.kill();
    const share = world.catalog.acquire('s');
    const ready = share.ready();
    await vi.waitFor(() => expect(share.health.error).toBeDefined(), 10_000);
    expect(share.snapshot).toBeUndefined();
    await server.up();
    await expect(ready).resolves.toMatchObject({ instances: [] });
  });
});
