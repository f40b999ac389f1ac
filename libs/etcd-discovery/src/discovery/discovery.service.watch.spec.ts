import { describe, expect, it, vi } from 'vitest';
import type { ServiceEvent } from '../catalog/service-catalog.js';
import { DiscoveryTimeoutError } from '../etcd-discovery.errors.js';
import { MOMENT } from '../../test/support/catalog-world.js';
import { discoveryWorld } from '../../test/support/discovery-world.js';
import { settle } from '../../test/support/fake-clock.js';

describe('watchService', () => {
  const told = (events: ServiceEvent[]) => events.map(({ type, instance }) => `${type} ${instance.id}`);

  it('waits for the list, starts with what is there as added and goes on', async () => {
    const { discovery, up, down, clock } = discoveryWorld();
    up('s', 'a');
    const events: ServiceEvent[] = [];
    const subscription = discovery.watchService('s').subscribe((event) => events.push(event));
    expect(events).toEqual([]);
    await clock.advance(MOMENT);
    up('s', 'b');
    down('s', 'a');
    await clock.advance(200);
    expect(told(events)).toEqual(['added a', 'added b', 'removed a']);
    expect(events.map(({ revision }) => revision)).toEqual([2, 3, 4]);
    subscription.unsubscribe();
  });

  it('tells a later subscriber the present, at once', async () => {
    const { discovery, up, clock } = discoveryWorld();
    up('s', 'a');
    const stream = discovery.watchService('s');
    stream.subscribe();
    await clock.advance(MOMENT);
    const events: ServiceEvent[] = [];
    stream.subscribe((event) => events.push(event));
    expect(told(events)).toEqual(['added a']);
  });

  it('does not begin before somebody subscribes, and frees everything when the last unsubscribes', async () => {
    const { discovery, etcd, clock } = discoveryWorld();
    const stream = discovery.watchService('s');
    expect(etcd.ranges).toHaveLength(0);
    const subscriptions = [stream.subscribe(), stream.subscribe()];
    await clock.advance(MOMENT);
    expect(etcd.openWatches).toHaveLength(2);
    for (const subscription of subscriptions) subscription.unsubscribe();
    expect(etcd.openWatches).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  it('stops in the midst of a batch when the consumer has had enough', async () => {
    const { discovery, up, clock } = discoveryWorld();
    for (const id of ['a', 'b', 'c']) up('s', id);
    const events: ServiceEvent[] = [];
    const subscription = discovery.watchService('s').subscribe((event) => {
      events.push(event);
      subscription.unsubscribe();
    });
    await clock.advance(200);
    expect(told(events)).toEqual(['added a']);
  });

  it('says nothing and does not end while etcd is away', async () => {
    const { discovery, up, etcd, clock } = discoveryWorld();
    const [next, error, complete] = [vi.fn(), vi.fn(), vi.fn()];
    etcd.goDown();
    discovery.watchService('s').subscribe({ next, error, complete });
    await clock.advance(600_000);
    up('s', 'a');
    etcd.comeBack();
    await clock.advance(2_000);
    expect(next).toHaveBeenCalledTimes(1);
    expect(error).not.toHaveBeenCalled();
    expect(complete).not.toHaveBeenCalled();
  });

  it.each(['the catalog', 'the service'])('completes when %s closes', async (which) => {
    const { discovery, catalog, clock } = discoveryWorld();
    const [error, complete, late] = [vi.fn(), vi.fn(), vi.fn()];
    const stream = discovery.watchService('s');
    stream.subscribe({ error, complete });
    await clock.advance(MOMENT);
    if (which === 'the catalog') await catalog.close();
    else discovery.close();
    expect(complete).toHaveBeenCalledTimes(1);
    expect(error).not.toHaveBeenCalled();
    stream.subscribe({ complete: late });
    expect(late).toHaveBeenCalledTimes(1);
  });
});

describe('waitForService', () => {
  it('resolves at once when there are enough, and when enough have come', async () => {
    const { discovery, settled, up, clock } = discoveryWorld();
    up('s', 'a');
    expect(await settled(discovery.waitForService('s'))).toHaveLength(1);
    const two = discovery.waitForService('s', { minInstances: 2 });
    await clock.advance(1_000);
    up('s', 'b');
    expect((await settled(two, 200)).map(({ id }) => id)).toEqual(['a', 'b']);
    expect(clock.pending).toBe(0);
  });

  it('says what was missing when the time is over', async () => {
    const { discovery, settled, up, clock } = discoveryWorld();
    up('s', 'a');
    const waiting = settled(discovery.waitForService('s', { minInstances: 3, timeoutMs: 700 }), 700);
    await expect(waiting).rejects.toBeInstanceOf(DiscoveryTimeoutError);
    await expect(waiting).rejects.toThrow(/service "s" has 1 of 3 instances after 700 ms; etcd answers/);
    expect(clock.pending).toBe(0);
  });

  it('says what etcd said when it is away', async () => {
    const { discovery, settled, etcd } = discoveryWorld();
    etcd.goDown();
    await expect(settled(discovery.waitForService('s'), 5_000)).rejects.toThrow(
      /has 0 of 1 instance after 5000 ms; etcd refused at .*ECONNREFUSED/,
    );
  });

  it('resolves with none where none are needed, but not before etcd has answered', async () => {
    const { discovery, settled } = discoveryWorld();
    const waiting = discovery.waitForService('s', { minInstances: 0 });
    const outcome = await Promise.race([waiting, settle().then(() => 'still waiting')]);
    expect(outcome).toBe('still waiting');
    expect(await settled(waiting)).toEqual([]);
  });

  it('ends by its signal', async () => {
    const { discovery, settled, clock } = discoveryWorld();
    const controller = new AbortController();
    const waiting = discovery.waitForService('s', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(settled(waiting)).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(clock.pending).toBe(0);
    const aborted = discovery.waitForService('s', { signal: AbortSignal.abort() });
    await expect(settled(aborted)).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('takes a wait without end for a very long one', async () => {
    const { discovery, settled, up, clock } = discoveryWorld();
    const waiting = discovery.waitForService('s', { timeoutMs: Number.POSITIVE_INFINITY });
    await clock.advance(86_400_000);
    up('s', 'a');
    expect(await settled(waiting, 200)).toHaveLength(1);
    await expect(discovery.waitForService('s', { timeoutMs: Number.NaN })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
    });
  });
});
