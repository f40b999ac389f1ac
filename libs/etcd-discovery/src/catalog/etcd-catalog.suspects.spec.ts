import { describe, expect, it } from 'vitest';
import { catalogWorld, discoveryOptions, listed, MOMENT, RESYNC, stored } from '../../test/support/catalog-world.js';

const HOST = '10.0.0.7';
/** The longest time between two probes. */
const PROBE_EVERY = 3_750;

/** A watched service of so many instances, `i0` on port 1 and so on, all of which accept connections. */
const serviceOf = async (count: number, deps: Parameters<typeof catalogWorld>[0] = {}) => {
  const world = catalogWorld(deps);
  const ids = Array.from({ length: count }, (_, n) => `i${n}`);
  const addressOf = (id: string) => `${HOST}:${Number(id.slice(1)) + 1}`;
  for (const id of ids) {
    world.up('s', id, { port: Number(id.slice(1)) + 1 });
    world.peers.accepting.add(addressOf(id));
  }
  const { share, events, story } = await listed(world);
  const vanish = async (...which: string[]) => {
    world.etcd.write(which.map((id) => ({ delete: `/services/s/${id}` })));
    await world.clock.advance(200);
  };
  const shown = () => (share.snapshot?.instances ?? []).map(({ id, suspect }) => (suspect ? `${id}?` : id));
  const told = () => story().slice(count);
  return { ...world, share, ids, events, vanish, shown, told, addressOf };
};

describe('when all keys of a service vanish', () => {
  it('its instances stay as suspects, and say so, until they are registered again', async () => {
    const world = await serviceOf(3);
    await world.vanish(...world.ids);
    expect(world.shown()).toEqual(['i0?', 'i1?', 'i2?']);
    expect(world.told()).toEqual(['updated i0 suspect', 'updated i1 suspect', 'updated i2 suspect']);
    for (const [n, id] of world.ids.entries()) world.up('s', id, { port: n + 1 });
    await world.clock.advance(200);
    expect(world.shown()).toEqual(['i0', 'i1', 'i2']);
    expect(world.told().slice(3)).toEqual(['updated i0 recovered', 'updated i1 recovered', 'updated i2 recovered']);
    expect(world.clock.pending).toBe(1);
    expect(world.peers.listenerCount).toBe(0);
  });

  it('in the data of a wiped etcd, the same holds', async () => {
    const world = await serviceOf(3);
    world.etcd.goDown();
    world.etcd.restore(1);
    world.etcd.comeBack();
    await world.clock.advance(RESYNC);
    expect(world.shown()).toEqual(['i0?', 'i1?', 'i2?']);
    world.up('s', 'i0', { port: 1 });
    await world.clock.advance(200);
    expect(world.shown()).toEqual(['i0', 'i1?', 'i2?']);
  });

  it('under the watch of the namespace, the same holds, users or not', async () => {
    const world = catalogWorld();
    world.peers.accepting.add(`${HOST}:1`);
    world.up('s', 'a', { port: 1 });
    const namespace = world.catalog.acquireNamespace();
    await world.clock.advance(MOMENT);
    world.down('s', 'a');
    await world.clock.advance(200);
    expect(namespace.snapshots.get('s')?.instances.map(({ suspect }) => suspect)).toEqual([true]);
    world.peers.accepting.clear();
    await world.clock.advance(PROBE_EVERY + 200);
    expect([...namespace.snapshots.keys()]).toEqual([]);
  });

  it('the log has one line about it, and one when it is over', async () => {
    const world = await serviceOf(7);
    await world.vanish(...world.ids.slice(0, 6));
    await world.vanish('i6');
    expect(world.log.of('warn')).toEqual([
      'warn service "s": 6 of 7 instances vanished from etcd without having left ("i0" at "10.0.0.7:1", ' +
        '"i1" at "10.0.0.7:2", "i2" at "10.0.0.7:3", "i3" at "10.0.0.7:4", "i4" at "10.0.0.7:5" and 1 more). Less than ' +
        'half of the most of the last 5 min would remain, which may be the fault of etcd: they stay in use as suspects ' +
        'until their connections fail, at most 300 s',
    ]);
    for (let n = 0; n < 3; n += 1) world.up('s', `i${n}`, { port: n + 1 });
    world.up('s', 'i3', { port: 4, status: 'draining' });
    world.up('s', 'new', { port: 5 });
    world.peers.channel('s', `${HOST}:6`, 'failed');
    world.peers.accepting.delete(`${HOST}:7`);
    await world.clock.advance(PROBE_EVERY + 200);
    expect(world.log.of('log')).toEqual([
      'log service "s" has no suspects any more: 1 dropped whose connection failed, 3 registered again, 1 left, ' +
        '1 replaced at the same address, 1 dropped that accepted no connection',
    ]);
    expect(world.log.of('warn')).toHaveLength(1);
  });

  it('nothing of it is left when the catalog closes', async () => {
    const world = await serviceOf(3);
    world.peers.hanging.add(world.addressOf('i0'));
    await world.vanish(...world.ids);
    await world.catalog.close();
    expect(world.clock.pending).toBe(0);
    expect(world.peers.listenerCount).toBe(0);
  });
});

describe('a suspect without a channel', () => {
  it('that accepts no connection is dropped at once', async () => {
    const world = await serviceOf(1);
    world.peers.accepting.clear();
    await world.vanish('i0');
    expect(world.told()).toEqual(['updated i0 suspect', 'removed i0 expired']);
    expect(world.shown()).toEqual([]);
  });

  it('is probed again every few seconds, each at another moment', async () => {
    const world = await serviceOf(3);
    await world.vanish(...world.ids);
    expect(world.peers.probed).toHaveLength(3);
    await world.clock.advance(60_000);
    expect(world.peers.probed.length).toBeGreaterThanOrEqual(3 * 16);
    expect(world.peers.probed.length).toBeLessThanOrEqual(3 * 27);
    world.peers.accepting.delete(world.addressOf('i1'));
    await world.clock.advance(PROBE_EVERY + 200);
    expect(world.shown()).toEqual(['i0?', 'i2?']);
  });

  it('costs at most 64 connections at a time, whatever their number', async () => {
    const world = await serviceOf(300);
    for (const id of world.ids.slice(0, 100)) world.peers.hanging.add(world.addressOf(id));
    await world.vanish(...world.ids);
    expect(world.peers.mostAtOnce).toBe(64);
    // Those that recover make room for the rest.
    world.etcd.write(
      world.ids.slice(0, 100).map((id, n) => ({ put: `/services/s/${id}`, value: stored('s', id, { port: n + 1 }) })),
    );
    await world.clock.advance(200);
    await world.clock.advance(PROBE_EVERY);
    expect(new Set(world.peers.probed).size).toBe(64 + 200);
    expect(world.peers.mostAtOnce).toBe(64);
    expect(world.shown()).toHaveLength(300);
  });

  it('that neither accepts nor refuses is asked no second time meanwhile', async () => {
    const world = await serviceOf(1);
    world.peers.hanging.add(world.addressOf('i0'));
    await world.vanish('i0');
    await world.clock.advance(30_000);
    expect(world.peers.probed).toHaveLength(1);
  });

  it('is dropped after suspectTimeout in any case', async () => {
    const world = await serviceOf(1, { options: discoveryOptions({ suspectTimeoutMs: 60_000 }) });
    await world.vanish('i0');
    await world.clock.advance(59_000);
    expect(world.shown()).toEqual(['i0?']);
    await world.clock.advance(1_100);
    expect(world.shown()).toEqual([]);
    expect(world.log.of('log').at(-1)).toContain('1 dropped after discovery.suspectTimeout');
  });
});

describe('a suspect with a channel', () => {
  const withChannel = async () => {
    const world = await serviceOf(1);
    const channel = (state: Parameters<typeof world.peers.channel>[2]) =>
      world.peers.channel('s', world.addressOf('i0'), state);
    channel('ready');
    // Only what the channel says counts.
    world.peers.accepting.clear();
    await world.vanish('i0');
    return { ...world, channel };
  };

  it('stays while it is ready, without any probe, and no longer than suspectTimeout', async () => {
    const world = await withChannel();
    await world.clock.advance(299_000);
    expect(world.shown()).toEqual(['i0?']);
    expect(world.peers.probed).toEqual([]);
    await world.clock.advance(1_000);
    expect(world.shown()).toEqual([]);
  });

  it('is dropped as soon as its connection fails', async () => {
    const world = await withChannel();
    world.channel('idle');
    world.channel('failed');
    await world.clock.advance(0);
    expect(world.told()).toEqual(['updated i0 suspect', 'removed i0 expired']);
  });

  it('is dropped when its connection breaks and is not back within a second', async () => {
    const world = await withChannel();
    world.peers.accepting.add(world.addressOf('i0'));
    world.channel('connecting');
    await world.clock.advance(900);
    expect(world.shown()).toEqual(['i0?']);
    await world.clock.advance(200);
    expect(world.shown()).toEqual([]);
  });

  it('stays when its connection breaks and is back', async () => {
    const world = await withChannel();
    world.channel('connecting');
    await world.clock.advance(900);
    world.channel('ready');
    await world.clock.advance(10_000);
    expect(world.shown()).toEqual(['i0?']);
  });

  it('whose channel is closed is probed', async () => {
    const world = await withChannel();
    world.peers.accepting.add(world.addressOf('i0'));
    world.channel(undefined);
    await world.clock.advance(2_000);
    expect(world.shown()).toEqual(['i0?']);
    world.peers.accepting.clear();
    await world.clock.advance(PROBE_EVERY + 200);
    expect(world.shown()).toEqual([]);
  });

  it('that had failed before is asked anew: the trouble may be over', async () => {
    const world = await serviceOf(2);
    for (const id of world.ids) world.peers.channel('s', world.addressOf(id), 'failed');
    world.peers.accepting.delete(world.addressOf('i1'));
    await world.vanish('i0', 'i1');
    expect(world.shown()).toEqual(['i0?']);
  });

  it('is not judged by the channels of another service', async () => {
    const world = await withChannel();
    world.peers.channel('other', world.addressOf('i0'), 'failed');
    await world.clock.advance(1_000);
    expect(world.shown()).toEqual(['i0?']);
  });
});
