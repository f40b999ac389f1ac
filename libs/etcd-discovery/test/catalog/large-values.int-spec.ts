import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdRelay } from '../../../../test/support/etcd-relay.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import type { WatchObserver } from '../../src/etcd/etcd-client.js';
import { idsOf } from '../support/catalog-world.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';

const LARGE = 1_400_000;
const COUNT = 8;

/** Bytes outside the heap that are still referenced. */
const buffers = (): number => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().arrayBuffers;
};

describe('8 foreign values of 1.4 MB among the instances of a service', () => {
  let server: EtcdServer;
  let relay: EtcdRelay;
  let world: EtcdWorld;

  beforeAll(async () => {
    server = await EtcdServer.start();
    relay = await EtcdRelay.start(server.endpoint);
  });
  beforeEach(async () => {
    world = await etcdWorld(relay.endpoint);
  });
  afterEach(() => world.close());
  afterAll(async () => {
    await relay.stop();
    await server.stop();
  });

  const putLarge = async (fill: string) => {
    for (let n = 0; n < COUNT; n += 1) await world.put(world.key('s', `large-${n}`), Buffer.alloc(LARGE, fill));
  };

  it('hurt nobody else, in the list and in the watch, and do not stay in memory', async () => {
    const before = buffers();
    await world.up('s', 'a');
    await putLarge('x');
    await world.up('s', 'z');
    const watches = vi.spyOn(world.etcd, 'watch');
    const share = world.catalog.acquire('s');
    await share.ready();
    expect(idsOf(share.snapshot)).toEqual(['a', 'z']);
    await vi.waitFor(() => expect(share.health.state).toBe('live'));
    await putLarge('y');
    await world.up('s', 'b');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['a', 'b', 'z']), 5_000);
    expect(watches).toHaveBeenCalledTimes(2);
    expect(world.catalog.skippedValues).toBe(2 * COUNT);
    expect(world.log.of('warn')).toHaveLength(1);
    await vi.waitFor(() => expect(buffers() - before).toBeLessThan(LARGE), 5_000);
  });

  it('arrive in fragments when they come between the list and its watch, which goes on', async () => {
    await world.up('s', 'a');
    const range = world.etcd.range.bind(world.etcd);
    const ranges = vi.spyOn(world.etcd, 'range').mockImplementation(async (request, options) => {
      const answer = await range(request, options);
      if (request.rangeEnd === undefined) {
        await putLarge('z');
        await world.up('s', 'b');
      }
      return answer;
    });
    const fragments: boolean[] = [];
    relay.intercept<{ fragment?: boolean; events: unknown[] }>('Watch/Watch', 'response', (message) => {
      if (message.events.length > 0) fragments.push(message.fragment === true);
      return [message];
    });
    const share = world.catalog.acquire('s');
    await vi.waitFor(() => expect(idsOf(share.snapshot)).toEqual(['a', 'b']), 10_000);
    expect(fragments).toContain(true);
    expect(fragments.at(-1)).toBe(false);
    expect(share.health.state).toBe('live');
    expect(ranges).toHaveBeenCalledTimes(2);
  });

  it('make the pages of the next list small, and of those after them large again', async () => {
    await putLarge('x');
    for (let n = 0; n < 40; n += 1) await world.up('s', `n${n}`);
    const observers: WatchObserver[] = [];
    const watch = world.etcd.watch.bind(world.etcd);
    vi.spyOn(world.etcd, 'watch').mockImplementation((request, observer) => {
      observers.push(observer);
      return watch(request, observer);
    });
    const ranges = vi.spyOn(world.etcd, 'range');
    const share = world.catalog.acquire('s');
    const { instances } = await share.ready();
    expect(instances).toHaveLength(40);
    await vi.waitFor(() => expect(share.health.state).toBe('live'));
    ranges.mockClear();
    // After silence the list reads values.
    observers[0]?.end({ reason: 'silent' });
    await vi.waitFor(() => expect(observers).toHaveLength(4), 5_000);
    expect(idsOf(share.snapshot)).toHaveLength(40);
    const limits = ranges.mock.calls.flatMap(([{ rangeEnd, limit }]) =>
      rangeEnd === undefined ? [] : [Number(limit)],
    );
    expect(limits.slice(0, 4)).toEqual([8, 1, 2, 4]);
    expect(limits.at(-1)).toBeGreaterThan(8);
  });
});
