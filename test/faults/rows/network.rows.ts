import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRow } from '../support/fault-row.js';
import { aftermath, noFailures, world } from '../support/network-world.js';
import { type Ways, leasedKeys, nextRenewal, timeUntil } from '../support/ways.js';

/** In quick mode too: the figures are those of the default TTL, and a lease of 3 s leaves a round trip of 1 s no room. */
const TTL_MS = 10_000;

/**
 * Two endpoints: the one in use becomes a black hole, the other is free. One endpoint: its connections do, the next one
 * is free; and afterwards the endpoint as a whole, for less than the TTL.
 */
const blackHole = (id: string, title: string, endpoints: 1 | 2): FaultRow => ({
  id,
  title,
  takes: 'seconds',
  async run(row) {
    const at = await world(row, { endpoints, ttlMs: TTL_MS });
    const { raw, news, fleet, client, servers, all } = at;
    await news.put(0, 3);
    const before = await leasedKeys(row, raw);
    const load = fleet.load();
    const swallow = ({ first }: Ways) => (endpoints === 2 ? first.freeze() : first.freezeOpen());
    const ids = fleet.servers.map((server) => fleet.idOf(server));
    const renewals = servers.map(async (ways, index) => {
      const [, lease] = before.find((line) => line.includes(ids[index]!))!.split(' ');
      await nextRenewal(raw, lease!);
      // A beat is TTL/3 ±10 %: right after one, the jitter alone would add TTL/30 to the promise.
      await delay(TTL_MS / 10);
      swallow(ways);
      return nextRenewal(raw, lease!);
    });
    const relearned = (async () => {
      swallow(client);
      await news.replace(0, 100);
      return timeUntil('the client learns of the news', async () =>
        (await fleet.discovery.getServiceList(news.service)).some(({ id: known }) => known === 'n100'),
      );
    })();
    row.figure('renewed on another way after', Math.max(...(await Promise.all(renewals))), 'ms', {
      atMost: 5_400,
    });
    row.figure('watch of the client open again after', await relearned, 'ms', { atMost: 8_000 });
    if (endpoints === 1) {
      for (const ways of all) ways.each((proxy) => proxy.pass());
      for (const ways of all) ways.each((proxy) => proxy.freeze());
      await delay(0.4 * TTL_MS);
    }
    for (const ways of all) ways.each((proxy) => proxy.pass());
    await news.replace(100, 101);
    await aftermath(row, at, before);
    await noFailures(row, load);
  },
});

/** Faults between this process and etcd that leave both alive. */
export const networkRows: readonly FaultRow[] = [
  blackHole('15', 'connections to one of two endpoints end in a black hole, without RST: the other takes over', 2),
  blackHole('15b', 'connections to the only endpoint end in a black hole, without RST: a new one takes over', 1),
  {
    id: '17',
    title: 'a round trip of 1 s to etcd with 10 % loss: leases are kept, the cache answers at once',
    takes: 'seconds',
    async run(row) {
      const at = await world(row, { ttlMs: TTL_MS });
      const { raw, news, fleet, all } = at;
      const before = await leasedKeys(row, raw);
      const load = fleet.load();
      const churn = news.churn(2);
      for (const ways of all) {
        ways.each((proxy) => {
          proxy.delay(500);
          proxy.lose(0.1, 1_200);
        });
      }
      const lists: number[] = [];
      const until = performance.now() + (row.quick ? 12_000 : 60_000);
      while (performance.now() < until) {
        const startedAt = performance.now();
        await fleet.discovery.getServiceList('echo');
        lists.push(performance.now() - startedAt);
        await delay(50);
      }
      lists.sort((a, b) => a - b);
      row.figure('list from the cache, median', lists[lists.length >> 1] ?? NaN, 'ms', { atMost: 1 });
      await churn.stop();
      for (const ways of all) ways.each((proxy) => proxy.pass());
      await aftermath(row, at, before);
      await noFailures(row, load);
    },
  },
];
