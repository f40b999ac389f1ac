import { describe, expect, it, vi } from 'vitest';
import type { WatchEnd } from '../etcd/etcd-client.js';
import { type EtcdFailure, EtcdRequestError } from '../etcd/etcd-status.js';
import { catalogWorld, idsOf, listed, MOMENT } from '../../test/support/catalog-world.js';
import { seededRandom } from '../../test/support/fake-clock.js';

const said = (failure: EtcdFailure, words: string) => new EtcdRequestError(failure, words);

/** Everybody is about to list: spread over 1.5 s. Nobody else is: within 100 ms. */
const LOST = 1_500;
const REFUSED = 100;

const ENDS: readonly (readonly [name: string, end: WatchEnd, spreadMs: number, level: 'warn' | 'debug'])[] = [
  ['the connection is reset', { reason: 'error', error: said('unreachable', 'read ECONNRESET') }, LOST, 'debug'],
  ['the server ends the stream', { reason: 'error', error: said('unreachable', 'ended') }, LOST, 'debug'],
  ['there is no leader', { reason: 'error', error: said('unreachable', 'etcdserver: no leader') }, LOST, 'debug'],
  [
    'the handshake of a new stream fails',
    { reason: 'error', error: said('tls', 'certificate expired') },
    LOST,
    'debug',
  ],
  ['the stream breaks without a word', { reason: 'error' }, LOST, 'debug'],
  ['etcd is silent', { reason: 'silent', error: said('unreachable', 'no sign of life') }, LOST, 'debug'],
  ['a token has run out', { reason: 'canceled', error: said('auth', 'invalid auth token') }, REFUSED, 'debug'],
  ['the log-in is refused', { reason: 'error', error: said('auth', 'authentication failed') }, REFUSED, 'warn'],
  [
    'a token has run out, as etcd 3.4 says it',
    { reason: 'canceled', error: said('permission-denied', 'denied') },
    REFUSED,
    'debug',
  ],
  ['etcd cancels it', { reason: 'canceled', error: said('refused', 'watcher overrun') }, REFUSED, 'warn'],
  ['etcd cancels it without a word', { reason: 'canceled' }, REFUSED, 'debug'],
  ['a message cannot be read', { reason: 'error', error: said('refused', 'unreadable') }, REFUSED, 'warn'],
  ['it is compacted', { reason: 'compacted', compactRevision: 7 }, REFUSED, 'debug'],
  ['it is compacted, in words', { reason: 'compacted', error: said('compacted', 'compacted') }, REFUSED, 'debug'],
];

/** A watched service, and the times of its lists. */
const watchedWorld = async (random: () => number) => {
  const world = catalogWorld({ random });
  // Past the terms in which a broken connection is reason to read values after a look at the keys.
  world.etcd.elect(30);
  for (const id of ['a', 'b', 'c', 'd']) world.up('s', id);
  const share = await listed(world);
  const lists: number[] = [];
  const range = world.etcd.range.bind(world.etcd);
  world.etcd.range = (request, options) => {
    if (request.rangeEnd !== undefined) lists.push(world.clock.now());
    return range(request, options);
  };
  return { ...world, ...share, lists };
};

describe.each(ENDS)('when %s', (_, end, spreadMs, level) => {
  it.each([0, 0.25, 0.999])(
    'the list follows after a part of %f of its spread, and brings the difference',
    async (r) => {
      const world = await watchedWorld(() => r);
      const { etcd, clock, share } = world;
      const endedAt = clock.now();
      etcd.endWatches(end);
      world.up('s', 'e');
      world.down('s', 'a');
      world.up('s', 'b', { weight: 99 });
      await clock.advance(spreadMs * r + 2 * MOMENT);
      expect(world.lists).toHaveLength(1);
      expect(world.lists[0]! - endedAt).toBeCloseTo(spreadMs * r);
      expect(world.story().slice(4).toSorted()).toEqual(['added e', 'removed a expired', 'updated b']);
      expect(share.health.state).toBe('live');
      expect(etcd.openWatches).toHaveLength(2);
      world.up('s', 'f');
      await clock.advance(200);
      expect(idsOf(share.snapshot)).toEqual(['b', 'c', 'd', 'e', 'f']);
    },
  );

  it('the health says why until it is over, and the log says it once', async () => {
    const { etcd, clock, share, log } = await watchedWorld(() => 0.5);
    const states: string[] = [];
    share.onHealth(({ state, error }) => states.push(error ? `${state} because` : state));
    etcd.endWatches(end);
    await clock.advance(spreadMs);
    expect(states).toEqual(['stale because', 'live']);
    expect(log.of(level)).toHaveLength(1);
    expect(log.lines).toHaveLength(1);
  });
});

describe('when the watch is refused for its token', () => {
  const refused: WatchEnd = { reason: 'canceled', error: said('permission-denied', 'denied') };

  it('and again as soon as it has a new one, the log warns', async () => {
    const { etcd, clock, log } = await watchedWorld(() => 0.5);
    etcd.endWatches(refused);
    await clock.advance(REFUSED);
    expect(log.of('warn')).toEqual([]);
    etcd.endWatches(refused);
    await clock.advance(2 * REFUSED);
    expect(log.of('warn')).toEqual(['warn watch of service "s": denied']);
  });

  it('and then its list too, the log warns once', async () => {
    const { etcd, clock, log } = await watchedWorld(() => 0.5);
    etcd.rangeFailures.push(...Array.from({ length: 3 }, () => said('permission-denied', 'denied')));
    etcd.endWatches(refused);
    await clock.advance(10 * REFUSED);
    expect(log.of('warn')).toEqual(['warn watch of service "s": denied']);
  });

  it('and only hours later again, that is another token', async () => {
    const { etcd, clock, log } = await watchedWorld(() => 0.5);
    for (let time = 0; time < 3; time++) {
      etcd.endWatches(refused);
      await clock.advance(60_000);
    }
    expect(log.of('warn')).toEqual([]);
  });
});

describe('when the watch is accepted by an etcd that is not the one that was listed', () => {
  it('because it has not got as far, the list comes again at once, with values', async () => {
    const world = catalogWorld({ random: () => 0.5 });
    world.up('s', 'a');
    const backup = world.etcd.revision;
    for (const id of ['b', 'c', 'd']) world.up('s', id);
    const watch = world.etcd.watch.bind(world.etcd);
    let restored = false;
    world.etcd.watch = (request, observer) => {
      if (!restored) {
        restored = true;
        world.etcd.restore(backup);
        world.up('s', 'x');
      }
      return watch(request, observer);
    };
    const { share } = await listed(world);
    await world.clock.advance(100);
    expect(idsOf(share.snapshot)?.filter((id) => id === 'x')).toEqual(['x']);
    expect(share.health.state).toBe('live');
    expect(world.etcd.ranges.map(({ keysOnly }) => keysOnly)).toEqual([false, false, false, false]);
    world.up('s', 'y');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toContain('y');
  });

  it.each(['term', 'cluster'] as const)('because its %s is another, likewise', async (what) => {
    const world = catalogWorld({ random: () => 0.5 });
    world.etcd.elect(5);
    world.up('s', 'a');
    const watch = world.etcd.watch.bind(world.etcd);
    let done = false;
    world.etcd.watch = (request, observer) => {
      if (!done && what === 'term') world.etcd.elect(2);
      if (!done && what === 'cluster') world.etcd.clusterId = 'another';
      done = true;
      return watch(request, observer);
    };
    const { share } = await listed(world);
    await world.clock.advance(100);
    expect(world.etcd.ranges).toHaveLength(4);
    expect(share.health.state).toBe('live');
  });

  it('because the connection broke in between, likewise', async () => {
    const world = catalogWorld({ random: () => 0.5 });
    world.up('s', 'a');
    const backup = world.etcd.revision;
    world.up('s', 'b', { weight: 1 });
    const watch = world.etcd.watch.bind(world.etcd);
    let done = false;
    world.etcd.watch = (request, observer) => {
      if (!done) {
        done = true;
        world.etcd.gate.set(false, said('unreachable', 'reset'));
        world.etcd.restore(backup);
        world.up('s', 'b', { weight: 66 });
        world.etcd.gate.set(true);
      }
      return watch(request, observer);
    };
    const { share } = await listed(world);
    await world.clock.advance(200);
    expect(share.snapshot?.instances.map(({ weight }) => weight)).toEqual([10, 66]);
  });

  it('is not what a slow etcd shows that takes its time to create the watch', async () => {
    const world = catalogWorld();
    world.up('s', '1');
    const range = world.etcd.range.bind(world.etcd);
    const ranges = vi.spyOn(world.etcd, 'range').mockImplementation(async (...request) => {
      const page = await range(...request);
      // The plain key is the last that is read.
      if (request[0].rangeEnd === undefined) world.etcd.latencyMs = 4_000;
      return page;
    });
    const share = world.catalog.acquire('s');
    await world.clock.advance(4_000 * 3);
    expect(share.health.state).toBe('live');
    expect(ranges.mock.calls.length).toBeLessThanOrEqual(2);
  });

  it('and goes on being behind, lists become rare', async () => {
    const world = catalogWorld({ random: () => 0.5 });
    world.up('s', 'a');
    const watch = world.etcd.watch.bind(world.etcd);
    world.etcd.watch = (request, observer) =>
      watch(request, {
        ...observer,
        events: observer.events.bind(observer),
        end: observer.end.bind(observer),
        created: (header) => observer.created?.({ ...header, revision: 1 }),
      });
    const { share } = await listed(world);
    await world.clock.advance(5_000);
    const { length } = world.etcd.ranges;
    await world.clock.advance(60_000);
    expect((world.etcd.ranges.length - length) / 2).toBeLessThanOrEqual(60);
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });
});

describe('the reconciling lists of ten services that were first listed in one moment', () => {
  it('have values, and come 5 min ±20 % later, far from each other', async () => {
    const world = catalogWorld({ random: seededRandom(7) });
    const services = Array.from({ length: 10 }, (_, i) => `s${i}`);
    for (const service of services) {
      world.up(service, 'a');
      world.catalog.acquire(service);
    }
    await world.clock.advance(MOMENT);
    world.etcd.ranges.length = 0;
    const at = new Map<string, number>();
    const range = world.etcd.range.bind(world.etcd);
    world.etcd.range = (request, options) => {
      if (request.rangeEnd !== undefined && !at.has(request.key)) at.set(request.key, world.clock.now());
      return range(request, options);
    };
    await world.clock.advance(239_000);
    expect(at.size).toBe(0);
    await world.clock.advance(122_000);
    expect(at.size).toBe(10);
    expect(world.etcd.ranges.every(({ keysOnly }) => keysOnly === false)).toBe(true);
    const times = [...at.values()].toSorted((a, b) => a - b);
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(60_000);
    for (const [i, time] of times.entries()) if (i > 0) expect(time - times[i - 1]!).toBeGreaterThan(MOMENT);
  });
});
