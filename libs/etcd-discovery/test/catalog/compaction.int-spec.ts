import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { idsOf, stored } from '../support/catalog-world.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';

const COUNT = 2_100;

describe('2,100 instances in an etcd that is compacted between any two pages of a list', () => {
  let server: EtcdServer;
  let world: EtcdWorld;

  beforeEach(async () => {
    server = await EtcdServer.start();
    world = await etcdWorld(server.endpoint);
  });
  afterEach(async () => {
    await world.close();
    await server.stop();
  });

  it('are listed and followed, and none is shown that went or missed that came meanwhile', async () => {
    const { etcd, writer, key } = world;
    const name = (n: number) => `i${String(n).padStart(5, '0')}`;
    for (let from = 0; from < COUNT; from += 100) {
      const success = Array.from({ length: 100 }, (_, i) => {
        return { type: 'put' as const, key: key('s', name(from + i)), value: stored('s', name(from + i)), lease: '0' };
      });
      await writer.txn({ compare: [], success });
    }
    const pages: string[] = [];
    const range = etcd.range.bind(etcd);
    vi.spyOn(etcd, 'range').mockImplementation(async (request, options) => {
      if (request.rangeEnd !== undefined) {
        const first = request.key.endsWith('/');
        pages.push(first ? 'first' : request.revision ? 'pinned' : 'own time');
        if (!first) {
          // Gone and come on the first page, which was read, and on the last one, which is yet to be.
          await world.down('s', name(pages.length));
          await world.up('s', `i00000-${pages.length}`);
          await world.down('s', name(COUNT - pages.length));
          await world.up('s', `z${pages.length}`);
          await world.up('s', 'zz-gone');
          await world.down('s', 'zz-gone');
          const { header } = await writer.range({ key: 'x' });
          await server.etcdctl('compact', String(header.revision));
        }
      }
      return range(request, options);
    });
    const share = world.catalog.acquire('s');
    const seen: string[] = [];
    share.onChange(({ events }) => seen.push(...events.map(({ instance }) => instance.id)));
    await vi.waitFor(() => expect(share.health.state).toBe('live'), 20_000);
    await vi.waitFor(() => expect(share.snapshot?.instances.length).toBeGreaterThan(0), 20_000);
    expect(pages).toEqual(['first', 'pinned', 'first', 'pinned', 'first', 'pinned', 'first', 'own time', 'own time']);
    await world.up('s', 'after');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toContain('after'), 5_000);
    const truth: string[] = [];
    const prefix = `${world.namespace}/s/`;
    const { kvs } = await writer.range({ key: prefix, rangeEnd: `${world.namespace}/s0`, keysOnly: true });
    for (const kv of kvs) truth.push(kv.key.slice(prefix.length));
    expect(idsOf(share.snapshot)).toEqual(truth.toSorted());
    expect(seen).not.toContain('zz-gone');
  });
});
