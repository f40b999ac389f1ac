import { describe, expect, it } from 'vitest';
import type { RangeRequest } from '../etcd/etcd-client.js';
import { catalogWorld, follow, idsOf, MOMENT, RESYNC } from '../../test/support/catalog-world.js';
import { seededRandom } from '../../test/support/fake-clock.js';

const PAGE = 3;

/** A world whose etcd gives no more than three keys a page, and a word between any two pages of the prefix. */
const pagedWorld = (deps: Parameters<typeof catalogWorld>[0] = {}) => {
  const world = catalogWorld(deps);
  const { etcd } = world;
  const range = etcd.range.bind(etcd);
  const between = { pages: (_request: RangeRequest, _page: number) => {} };
  const lists: RangeRequest[][] = [];
  etcd.range = (request, options) => {
    if (request.key === '/services/s/') lists.push([]);
    if (request.rangeEnd !== undefined) {
      lists.at(-1)?.push(request);
      const page = lists.at(-1)!.length;
      if (page > 1) between.pages(request, page);
    }
    return range({ ...request, limit: PAGE }, options);
  };
  const starts: number[] = [];
  const watch = etcd.watch.bind(etcd);
  etcd.watch = (request, observer) => {
    starts.push(request.startRevision);
    return watch(request, observer);
  };
  const keys = (service = 's') =>
    Array.from(etcd.stored.keys())
      .filter((key) => key.startsWith(`/services/${service}/`))
      .map((key) => key.slice(`/services/${service}/`.length));
  return { ...world, between, lists, starts, keys };
};

describe('a list that is compacted between its pages', () => {
  it('starts over, three times; then the watch is opened first and the pages are of their own time', async () => {
    const world = pagedWorld();
    for (const id of ['a', 'b', 'c', 'd', 'e']) world.up('s', id);
    world.between.pages = () => {
      world.up('other', 'x');
      world.etcd.compact();
    };
    const share = world.catalog.acquire('s');
    await world.clock.advance(2_000);
    expect(idsOf(share.snapshot)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(share.health.state).toBe('live');
    expect(world.lists.map((pages) => pages.map(({ revision }) => (revision ? 'pinned' : 'now')))).toEqual([
      ['now', 'pinned'],
      ['now', 'pinned'],
      ['now', 'pinned'],
      ['now', 'now'],
    ]);
    expect(world.starts).toEqual([0, 0]);
    world.up('s', 'f');
    await world.clock.advance(MOMENT);
    expect(idsOf(share.snapshot)).toContain('f');
  });

  it('does not show what was gone when its page was read, nor miss what changed on pages read before', async () => {
    const world = pagedWorld();
    for (const id of ['a', 'b', 'c', 'm', 'n', 'o']) world.up('s', id);
    world.between.pages = ({ revision }) => {
      if (revision) {
        world.up('other', 'x');
        return world.etcd.compact();
      }
      // On the page that was read: deleted, changed, new. On the page to come: the same, and one that comes and goes.
      world.down('s', 'a');
      world.up('s', 'b', { weight: 42 });
      world.up('s', 'bb');
      world.down('s', 'm');
      world.up('s', 'n', { weight: 42 });
      world.up('s', 'nn');
      world.up('s', 'z');
      world.down('s', 'z');
      world.etcd.compact();
    };
    const share = world.catalog.acquire('s');
    const { story } = follow(share);
    await world.clock.advance(2_000);
    expect(idsOf(share.snapshot)).toEqual(['b', 'bb', 'c', 'n', 'nn', 'o']);
    expect(share.snapshot?.instances.map(({ weight }) => weight)).toEqual([42, 10, 10, 42, 10, 10]);
    expect(story()).toEqual([
      'added a',
      'added b',
      'added c',
      'added n',
      'added nn',
      'added o',
      'removed a expired',
      'updated b',
      'added bb',
    ]);
  });

  it('equals etcd whatever is written meanwhile, and no key goes back in time', async () => {
    for (let seed = 0; seed < 150; seed += 1) {
      const random = seededRandom(seed);
      const world = pagedWorld({ random });
      const names = Array.from({ length: 12 }, (_, i) => `i${i}`);
      const one = () => names[Math.floor(random() * names.length)]!;
      for (const id of names) if (random() < 0.7) world.up('s', id);
      const write = () => {
        for (let n = Math.floor(random() * 5); n > 0; n -= 1) {
          if (random() < 0.4) world.down('s', one());
          else world.up('s', one(), { weight: 1 + Math.floor(random() * 99) });
        }
      };
      world.between.pages = ({ revision }) => {
        write();
        if (revision || random() < 0.5) world.etcd.compact();
      };
      const share = world.catalog.acquire('s');
      const newest = new Map<string, number>();
      share.onChange(({ events }) => {
        for (const { instance, type, revision } of events) {
          const at = type === 'removed' ? revision : instance.modRevision;
          expect(at, `seed ${seed} ${instance.id}`).toBeGreaterThanOrEqual(newest.get(instance.id) ?? 0);
          newest.set(instance.id, at);
        }
      });
      for (let n = 0; n < 20; n += 1) {
        await world.clock.advance(random() * 200);
        if (n < 10) write();
      }
      await world.clock.advance(RESYNC);
      const suspects = share.snapshot?.instances.filter(({ suspect }) => suspect).map(({ id }) => id) ?? [];
      expect(
        idsOf(share.snapshot)?.filter((id) => !suspects.includes(id)),
        `seed ${seed}`,
      ).toEqual(world.keys().toSorted());
      await world.catalog.close();
    }
  });

  it('by an etcd that is compacted without a pause, is followed all the same, without a loop', async () => {
    const world = pagedWorld();
    for (const id of ['a', 'b', 'c', 'd', 'e']) world.up('s', id);
    world.etcd.latencyMs = 50;
    let stop = false;
    const churn = () => {
      world.up('other', 'x');
      world.etcd.compact();
      if (!stop) world.clock.after(20, churn);
    };
    churn();
    const share = world.catalog.acquire('s');
    await world.clock.advance(3_000);
    expect(share.health.state).toBe('live');
    const { length } = world.lists;
    await world.clock.advance(10_000);
    expect(world.lists).toHaveLength(length);
    world.up('s', 'f');
    await world.clock.advance(200);
    expect(idsOf(share.snapshot)).toContain('f');
    stop = true;
  });

  it('a watch that is compacted before it is created is opened before the list, too', async () => {
    const world = pagedWorld();
    world.up('s', 'a');
    const watch = world.etcd.watch;
    world.etcd.watch = (request, observer) => {
      world.up('other', 'x');
      world.up('other', 'y');
      world.etcd.compact();
      return watch(request, observer);
    };
    const share = world.catalog.acquire('s');
    await world.clock.advance(2_000);
    expect(share.health.state).toBe('live');
    expect(world.starts.slice(-2)).toEqual([0, 0]);
    expect(world.lists).toHaveLength(4);
  });

  it('is given up for the watch when more changes come meanwhile than a list would cost', async () => {
    const world = pagedWorld();
    for (const id of ['a', 'b', 'c', 'd', 'e']) world.up('s', id);
    let flooded = false;
    world.between.pages = ({ revision }) => {
      if (!revision && !flooded) {
        flooded = true;
        world.etcd.write(Array.from({ length: 10_001 }, (_, i) => ({ delete: `/services/s/nothing${i}` })));
        const put = (i: number) => ({ put: '/services/s/f', value: `10.0.0.1:${1 + (i % 60_000)}` });
        for (let i = 0; i < 11; i += 1) world.etcd.write(Array.from({ length: 1_000 }, (_, n) => put(n)));
      }
      if (!flooded) {
        world.up('other', 'x');
        world.etcd.compact();
      }
    };
    const share = world.catalog.acquire('s');
    await world.clock.advance(5_000);
    expect(flooded).toBe(true);
    expect(world.lists.length).toBeGreaterThan(4);
    expect(idsOf(share.snapshot)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(share.health.state).toBe('live');
  });
});

describe('compaction while the connection is away', () => {
  it.each([23, 24])('costs at most one list per second, seed %i', async (seed) => {
    const world = pagedWorld({ random: seededRandom(seed) });
    world.up('s', 'a');
    const share = world.catalog.acquire('s');
    await world.clock.advance(MOMENT);
    const watch = world.etcd.watch;
    // Every watch is refused as compacted, whatever it asks for: the worst a broken etcd can do.
    world.etcd.watch = (request, observer) => {
      const handle = watch(request, observer);
      world.clock.after(0.5, () => world.etcd.endWatches({ reason: 'compacted', compactRevision: 9 }));
      return handle;
    };
    world.etcd.endWatches({ reason: 'compacted', compactRevision: 9 });
    await world.clock.advance(5_000);
    const before = world.lists.length + world.starts.length / 2;
    await world.clock.advance(60_000);
    expect(world.lists.length + world.starts.length / 2 - before).toBeLessThanOrEqual(60);
    expect(idsOf(share.snapshot)).toEqual(['a']);
  });
});
