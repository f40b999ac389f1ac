import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/child-process.js';
import type { FaultRow } from '../support/fault-row.js';
import { cacheEqualsEtcd } from '../support/fleet.js';
import { noFailures } from '../support/network-world.js';
import {
  type RelayedRangeRequest,
  type RelayedWatchRequest,
  type RelayedWatchResponse,
  followNews,
  listsOfNews,
  relayWorld,
} from '../support/relay-world.js';
import { timeUntil } from '../support/ways.js';

/** More than two pages of a list. */
const MANY = 2_500;

/** What etcd has compacted, and what its watches get wrong. */
export const watchRows: readonly FaultRow[] = [
  {
    id: '23',
    title: 'etcd compacted what happened while the client was cut off: listed again, nothing lost, no hot loop',
    takes: 'seconds',
    async run(row) {
      const at = await relayWorld(row);
      const { etcd, raw, relay, proxy, fleet, news } = at;
      await news.put(0, 10);
      const followed = await followNews(at, 10);
      const lists = listsOfNews(at, row);
      const load = fleet.load();
      proxy.cut();
      await news.put(10, 20);
      await news.put(5, 10);
      await news.delete(0, 1);
      await raw.compact();
      await delay(row.quick ? 2_000 : 15_000);
      proxy.pass();
      const after = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
      row.figure('cache equals etcd after', after, 'ms', { atMost: 3_000 });
      const changes = ['added', 'updated', 'removed'].map((type) => followed.count(type as 'added'));
      row.figure('changes told', changes[0]! + changes[1]! + changes[2]!, '', { atLeast: 17, atMost: 17 });
      row.figure('lists for that', lists.length, '', { atMost: 2 });

      // And again and again, between every list and its watch.
      let compactions = 0;
      relay.intercept<RelayedWatchRequest>('Watch/Watch', 'request', async (request) => {
        if (request.create_request) {
          compactions++;
          await news.put(0, 1);
          await raw.compact();
        }
        return [request];
      });
      proxy.reset();
      // The first few may come quickly: one such compaction is an accident.
      await delay(3_000);
      lists.length = 0;
      const ms = row.quick ? 8_000 : 30_000;
      await delay(ms);
      row.figure('lists per second under endless compaction', (lists.length / ms) * 1_000, '/s', { atMost: 1 });
      row.figure('watches whose start was compacted', compactions, '', { atLeast: 3 });
      relay.intercept('Watch/Watch', 'request', (request) => [request]);
      const healed = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
      row.figure('cache equals etcd after the last', healed, 'ms', { atMost: 2_000 });
      const heard = timeUntil('the watch lives', () => followed.known.has('n77'));
      await news.put(77, 78);
      row.figure('next change told after', await heard, 'ms', { atMost: 2_000 });
      await noFailures(row, load);
    },
  },
  {
    id: '24',
    title: 'etcd is compacted between the pages of a list: started over, complete in the end',
    takes: 'seconds',
    async run(row) {
      const at = await relayWorld(row);
      const { etcd, raw, relay, fleet, news } = at;
      await news.put(0, MANY);
      const prefix = `${row.namespace}/${news.service}/`;
      const pages = { first: 0, later: 0, compactions: 0 };
      const compactBetweenPages = (times: number) =>
        relay.intercept<RelayedRangeRequest>('KV/Range', 'request', async (request) => {
          const key = request.key?.toString() ?? '';
          if (key === prefix) pages.first++;
          else if (key.startsWith(prefix)) {
            pages.later++;
            if (pages.compactions < times) {
              pages.compactions++;
              await news.put(0, 1);
              await raw.compact();
            }
          }
          return [request];
        });
      compactBetweenPages(2);
      const startedAt = performance.now();
      const followed = await followNews(at, MANY);
      row.figure('compactions between pages', pages.compactions, '', { atLeast: 2 });
      row.figure('listed after', performance.now() - startedAt, 'ms', { atMost: 5_000 });
      row.figure('lists begun', pages.first, '', { atMost: 4 });
      let after = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
      row.figure('cache equals etcd after', after, 'ms', { atMost: 2_000 });

      // And between all pages of every list, as on an etcd that is compacted all the time.
      Object.assign(pages, { first: 0, later: 0, compactions: 0 });
      compactBetweenPages(Infinity);
      at.proxy.reset();
      await news.put(MANY, MANY + 1);
      await eventually('the change is listed', () => followed.known.has(`n${MANY}`));
      row.figure('lists begun under endless compaction', pages.first, '', { atMost: 5 });
      compactBetweenPages(0);
      after = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
      row.figure('cache equals etcd after the last', after, 'ms', { atMost: 2_000 });
    },
  },
  {
    id: '53',
    title: 'events come twice, come again long after, and come in the wrong order: each is told once',
    takes: 'seconds',
    async run(row) {
      const at = await relayWorld(row, { servers: 1 });
      const { etcd, relay, fleet, news } = at;
      await news.put(0, 20);
      const followed = await followNews(at, 20);
      const past = new Map<string, RelayedWatchResponse[]>();
      let repeated = 0;
      relay.intercept<RelayedWatchResponse>('Watch/Watch', 'response', (message, call) => {
        if (message.events.length === 0) return [message];
        const story = past.get(`${call.id} ${message.watch_id ?? '0'}`) ?? [];
        past.set(`${call.id} ${message.watch_id ?? '0'}`, story);
        repeated += story.length + 1;
        const replay = [message, message, ...story];
        story.push(message);
        return replay;
      });
      const rounds = row.quick ? 10 : 60;
      for (let at = 0; at < rounds; at++) {
        const id = `n${100 + at}`;
        await news.put(100 + at, 101 + at);
        await eventually('it is added', () => followed.known.has(id));
        const weight = followed.known.get(id);
        await news.put(100 + at, 101 + at);
        await eventually('it is updated', () => followed.known.get(id) !== weight);
        await news.delete(100 + at);
        await eventually('it is removed', () => !followed.known.has(id));
      }
      row.figure('events repeated', repeated, '', { atLeast: 3 * rounds });
      row.figure('events told', followed.told.length, '', { atLeast: 3 * rounds, atMost: 3 * rounds });
      let after = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
      row.figure('cache equals etcd after', after, 'ms', { atMost: 2_000 });

      // One message waits until the next one has overtaken it.
      const healed: number[] = [];
      for (let at = 0; at < 8; at += 2) {
        let waiting: RelayedWatchResponse | undefined;
        let overtaken = false;
        relay.intercept<RelayedWatchResponse>('Watch/Watch', 'response', (message) => {
          if (message.events.length === 0 || overtaken) return [message];
          if (!waiting) {
            waiting = message;
            return [];
          }
          overtaken = true;
          return [message, waiting];
        });
        // A value that changes is hidden by the one after it, and so is a key that goes.
        if (at % 4 === 0) await news.put(at, at + 1);
        else await news.delete(at);
        await eventually('the first change is on its way', () => waiting !== undefined);
        await news.put(at + 1, at + 2);
        await eventually('the second change has overtaken it', () => overtaken);
        healed.push(await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service));
      }
      after = Math.max(...healed);
      row.figure('cache equals etcd after a wrong order, at most', after, 'ms', { atMost: 2_000 });
    },
  },
];
