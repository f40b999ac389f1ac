import { setTimeout as delay } from 'node:timers/promises';
import { hurriedCatalog } from '../../../libs/etcd-discovery/test/support/hurried-catalog.js';
import { eventually } from '../../support/child-process.js';
import type { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { cacheEqualsEtcd } from '../support/fleet.js';
import { noFailures } from '../support/network-world.js';
import { type RelayWorld, type RelayedWatchResponse, followNews, relayWorld } from '../support/relay-world.js';
import type { RowContext } from '../support/row-context.js';
import { timeUntil } from '../support/ways.js';

const ownKeys = (row: RowContext, raw: RawEtcd) => raw.keys(`${row.namespace}/echo/`);

/** Resolves with how long it took until as many keys are back as there were, none of them what was `lost`. */
const back = (row: RowContext, raw: RawEtcd, count: number, isLost: (lease: string, key: string) => boolean) =>
  timeUntil('the key is back', async () => {
    const keys = await ownKeys(row, raw);
    return keys.length === count && !keys.some(({ lease, key }) => isLost(lease, key));
  });

const worst = (times: readonly number[]): number => Math.max(...times);

/** Swallows every event of every watch and nothing else: progress is answered, so nobody notices. */
const silence = ({ relay }: RelayWorld) =>
  relay.intercept<RelayedWatchResponse>('Watch/Watch', 'response', (message) =>
    message.events.length > 0 ? [] : [message],
  );

/** How much faster the catalog's clock runs, so that its list of every 5 min comes every 3 s. */
const HURRY = 100;

/** Leases and keys that others take away, and an etcd that lies about them. */
export const lieRows: readonly FaultRow[] = [
  {
    id: '50',
    title: 'leases revoked and keys deleted by hand: registered again at once, no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, fleet } = await relayWorld(row);
      const load = fleet.load();
      const times = row.soak ? 200 : 20;
      const revoked: number[] = [];
      const deleted: number[] = [];
      for (let at = 0; at < times; at++) {
        const keys = await ownKeys(row, raw);
        const { lease } = keys[at % keys.length]!;
        await raw.revoke(lease);
        revoked.push(await back(row, raw, keys.length, (other) => other === lease));
      }
      for (let at = 0; at < times; at++) {
        const keys = await ownKeys(row, raw);
        await raw.delete(keys[at % keys.length]!.key);
        deleted.push(await back(row, raw, keys.length, () => false));
      }
      row.figure('losses of the lease', revoked.length);
      row.figure('key back after a revocation, at most', worst(revoked), 'ms', { atMost: 2_000 });
      row.figure('losses of the key', deleted.length);
      row.figure('key back after a deletion, at most', worst(deleted), 'ms', { atMost: 2_000 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
      row.figure('leases in etcd', (await raw.leases()).length, '', { atMost: fleet.servers.length });
      await noFailures(row, load);
    },
  },
  {
    id: '51',
    title: 'etcd renews a lease that is gone: the own key is missed at once all the same',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, relay, fleet } = await relayWorld(row, { through: 'relay' });
      let lies = 0;
      relay.intercept<{ TTL?: string }>('Lease/LeaseKeepAlive', 'response', (answer) => {
        if (Number(answer.TTL ?? 0) > 0) return [answer];
        lies++;
        return [{ ...answer, TTL: String(row.ttlMs / 1_000) }];
      });
      const puts: number[] = [];
      relay.intercept('KV/Txn', 'request', (request) => {
        puts.push(performance.now());
        return [request];
      });
      const load = fleet.load();
      const noticed: number[] = [];
      const again: number[] = [];
      for (let at = 0; at < 6; at++) {
        const keys = await ownKeys(row, raw);
        const { lease } = keys[at % keys.length]!;
        puts.length = 0;
        const revokedAt = performance.now();
        await raw.revoke(lease);
        again.push(await back(row, raw, keys.length, (other) => other === lease));
        noticed.push(puts[0]! - revokedAt);
      }
      row.figure('noticed after, at most', worst(noticed), 'ms', { atMost: 1_000 });
      row.figure('key back after, at most', worst(again), 'ms', { atMost: 2_000 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
      // The leases that are gone are not asked for any more, so the lie may never be told.
      row.figure('renewals answered with a lie', lies);
      await noFailures(row, load);
    },
  },
  {
    id: '52',
    title: 'a watch falls silent without an error: healed by the reconciling list (of a catalog whose time flies)',
    takes: 'seconds',
    async run(row) {
      const at = await relayWorld(row, { servers: 1 });
      const { relay, raw, news } = at;
      await news.put(0, 10);
      const reader = row.defer(hurriedCatalog(relay.endpoint, row.namespace, HURRY), (open) => open.close());
      const known = () => reader.list(news.service).toSorted().join();
      await eventually('the news are known', () => reader.list(news.service).length === 10);
      const speak = silence(at);
      const healed: number[] = [];
      for (let round = 0; round < 3; round++) {
        await news.put(10 + round, 11 + round);
        await news.delete(round);
        const stored = (await raw.keys(`${row.namespace}/${news.service}/`))
          .map(({ key, value }) => `${key.split('/').at(-1)} ${String(value.weight)}`)
          .toSorted()
          .join();
        healed.push(await timeUntil('the list heals it', () => known() === stored));
      }
      speak();
      row.figure('healed after, in the time of the catalog', (worst(healed) * HURRY) / 60_000, 'min', { atMost: 6.2 });
      row.figure('in the shortest case', (Math.min(...healed) * HURRY) / 60_000, 'min');
    },
  },
  {
    id: '52s',
    title: 'a watch falls silent without an error: healed by the reconciling list within 6 minutes',
    takes: 'soak',
    timeoutMs: 600_000,
    async run(row) {
      const at = await relayWorld(row, { servers: 1 });
      const { etcd, fleet, news } = at;
      await news.put(0, 10);
      const { told } = await followNews(at, 10);
      const speak = silence(at);
      await news.put(10, 12);
      await news.delete(0);
      await delay(5_000);
      row.figure('changes told in the first 5 s', told.length, '', { atMost: 0 });
      const healed = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service, 400_000);
      row.figure('healed after', (healed + 5_000) / 60_000, 'min', { atMost: 6.1 });
      speak();
    },
  },
];
