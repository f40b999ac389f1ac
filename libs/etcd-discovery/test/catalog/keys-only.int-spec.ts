import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import type { WatchObserver } from '../../src/etcd/etcd-client.js';
import { FaultProxy } from '../../../../test/support/fault-proxy.js';
import { idsOf, stored } from '../support/catalog-world.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';

const COUNT = 1_000;

describe('1,000 instances after a short gap in the watch', () => {
  let server: EtcdServer;
  let proxy: FaultProxy;
  let world: EtcdWorld;

  beforeAll(async () => {
    server = await EtcdServer.start();
    proxy = await FaultProxy.start(server.endpoint);
  });
  afterEach(() => world.close());
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  it('cost a third of the bytes of a list with values, and what changed is there', async () => {
    world = await etcdWorld(proxy.endpoint);
    const { etcd, writer, catalog, key } = world;
    for (let from = 0; from < COUNT; from += 100) {
      const success = Array.from({ length: 100 }, (_, i) => {
        const id = `instance-${from + i}`;
        return { type: 'put' as const, key: key('s', id), value: stored('s', id), lease: '0' };
      });
      await writer.txn({ compare: [], success });
    }
    const observers: WatchObserver[] = [];
    const watch = etcd.watch.bind(etcd);
    vi.spyOn(etcd, 'watch').mockImplementation((request, observer) => {
      observers.push(observer);
      return watch(request, observer);
    });
    const share = catalog.acquire('s');
    const ranges = vi.spyOn(etcd, 'range');
    /** Bytes until the watches are created again. */
    const cost = async (end: () => void): Promise<number> => {
      const before = proxy.bytesDown;
      const watches = observers.length;
      end();
      await vi.waitFor(() => expect(observers.length).toBe(watches + 2), 5_000);
      await vi.waitFor(() => expect(share.health.state).toBe('live'), 5_000);
      return proxy.bytesDown - before;
    };

    const first = await cost(() => void share.ready());
    expect(share.snapshot?.instances).toHaveLength(COUNT);
    ranges.mockClear();
    const keys = await cost(() => observers.at(-1)?.end({ reason: 'canceled' }));
    // Pages of the prefix, and the plain key.
    expect(ranges.mock.calls.length).toBeGreaterThanOrEqual(2);
    expect(ranges.mock.calls.every(([{ keysOnly }]) => keysOnly)).toBe(true);
    const silent = await cost(() => observers.at(-1)?.end({ reason: 'silent' }));
    expect(keys).toBeLessThan(first / 3);
    expect(silent).toBeGreaterThan(first * 0.9);

    await world.up('s', 'instance-7', { weight: 99 });
    await world.down('s', 'instance-8');
    observers.at(-1)?.end({ reason: 'canceled' });
    await vi.waitFor(() => expect(share.snapshot?.instances).toHaveLength(COUNT - 1), 5_000);
    expect(share.snapshot?.instances.find(({ id }) => id === 'instance-7')?.weight).toBe(99);
    expect(idsOf(share.snapshot)).not.toContain('instance-8');
  });
});
