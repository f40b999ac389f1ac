import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { prefixRange } from '../../src/etcd/key-range.js';
import { WatchRecorder } from '../etcd/watch-recorder.js';
import { stored } from '../support/catalog-world.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';

/** Promise P9: from the first contact on. */
const EQUAL_AGAIN_MS = 3_000;

describe('an etcd restored from a backup', () => {
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

  const restored = async () => {
    await server.kill();
    await server.restore();
    await server.up();
  };
  const watched = async () => {
    const share = world.catalog.acquire('s');
    await share.ready();
    await vi.waitFor(() => expect(share.health.state).toBe('live'));
    return share;
  };
  /** Ids and weights; suspects say what etcd had, not what it has. */
  const shown = (share: Awaited<ReturnType<typeof watched>>) =>
    share.snapshot?.instances.filter(({ suspect }) => !suspect).map(({ id, weight }) => `${id} ${weight}`);
  /** Without a lease, so that nothing but what is written decides what is there. */
  const put = (id: string, weight: number) => world.put(world.key('s', id), stored('s', id, { weight }), '0');

  it('is believed at the first contact, values included, and followed from there', async () => {
    await put('a', 1);
    await put('b', 1);
    await server.snapshot();
    await put('b', 2);
    await put('c', 1);
    await world.down('s', 'a');
    const share = await watched();
    expect(shown(share)).toEqual(['b 2', 'c 1']);
    await restored();
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'b 1']), EQUAL_AGAIN_MS);
    await vi.waitFor(() => put('d', 1), EQUAL_AGAIN_MS);
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'b 1', 'd 1']), EQUAL_AGAIN_MS);
  });

  it('and written to until every key looks as it did, shows other values all the same', async () => {
    await put('a', 1);
    await server.snapshot();
    await put('b', 1);
    await put('c', 1);
    const share = await watched();
    const keys = async (etcd: EtcdClient) => {
      const { kvs, header } = await etcd.range({ ...prefixRange(`${world.namespace}/s/`), keysOnly: true });
      return { kvs, cluster: header.clusterId, member: header.memberId, revision: header.revision };
    };
    const before = await keys(world.writer);
    // Nobody but the writer may see the restored etcd until it looks like the old one.
    const other = await etcdWorld(server.endpoint);
    const seen = vi.spyOn(world.etcd, 'range');
    await server.kill();
    await server.restore();
    seen.mockRejectedValue(new Error('not yet'));
    await server.up();
    const again = (id: string) =>
      vi.waitFor(() => other.put(world.key('s', id), stored('s', id, { weight: 77 }), '0'), 5_000);
    await again('b');
    await again('c');
    expect(await keys(other.writer)).toEqual(before);
    seen.mockRestore();
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'b 77', 'c 77']), EQUAL_AGAIN_MS);
    await other.close();
  });

  it('between a list and its watch is found out by the watch, and listed again', async () => {
    await put('a', 1);
    await server.snapshot();
    await put('b', 1);
    await put('c', 1);
    const range = world.etcd.range.bind(world.etcd);
    let lists = 0;
    vi.spyOn(world.etcd, 'range').mockImplementation(async (request, options) => {
      const answer = await range(request, options);
      if (request.rangeEnd === undefined && ++lists === 1) {
        await restored();
        await vi.waitFor(() => put('d', 1), 5_000);
      }
      return answer;
    });
    const share = world.catalog.acquire('s');
    await share.ready();
    expect(shown(share)).toEqual(['a 1', 'b 1', 'c 1']);
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'd 1']), EQUAL_AGAIN_MS);
  });

  it('that has not reached the revision of the list is not watched in silence', async () => {
    await put('a', 1);
    const range = world.etcd.range.bind(world.etcd);
    let ahead = 100;
    vi.spyOn(world.etcd, 'range').mockImplementation(async (request, options) => {
      const answer = await range({ ...request, revision: 0 }, options);
      const header = { ...answer.header, revision: answer.header.revision + ahead };
      if (request.rangeEnd === undefined) ahead = 0;
      return { ...answer, header };
    });
    const watches = vi.spyOn(world.etcd, 'watch');
    const share = world.catalog.acquire('s');
    await share.ready();
    await put('b', 1);
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'b 1']), EQUAL_AGAIN_MS);
    await put('c', 1);
    await vi.waitFor(() => expect(shown(share)).toEqual(['a 1', 'b 1', 'c 1']), EQUAL_AGAIN_MS);
    expect(watches).toHaveBeenCalledTimes(4);
  });

  it('accepts a watch from a revision it has not reached, says how far it is, and stays silent', async () => {
    const { header } = await world.writer.range({ key: world.key('s', 'a') });
    const recorder = new WatchRecorder();
    const startRevision = header.revision + 100;
    const handle = world.etcd.watch({ ...prefixRange(`${world.namespace}/s/`), startRevision }, recorder);
    await vi.waitFor(() => expect(recorder.createdAt).toHaveLength(1), 5_000);
    expect(recorder.createdAt[0]?.revision).toBeLessThan(startRevision - 1);
    await put('a', 1);
    await put('b', 1);
    const sees = new WatchRecorder();
    const now = world.etcd.watch({ ...prefixRange(`${world.namespace}/s/`), startRevision: header.revision + 1 }, sees);
    await vi.waitFor(() => expect(sees.seen).toHaveLength(2), 5_000);
    expect(recorder.seen).toEqual([]);
    handle.close();
    now.close();
  });
});
