import { describe, expect, it, vi } from 'vitest';
import { catalogWorld, listed, MOMENT } from '../../test/support/catalog-world.js';

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
