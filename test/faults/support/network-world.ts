import { EtcdServer } from '../../support/etcd-server.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { Fleet, cacheEqualsEtcd } from './fleet.js';
import { News } from './news.js';
import type { RowContext } from './row-context.js';
import { Ways, addServerBehind, leasedKeys, onFirst } from './ways.js';

/** Three servers and a client, each behind ways of its own, and a service of news that the client follows. */
export const world = async (row: RowContext, { endpoints = 1, servers = 3, ttlMs = row.ttlMs } = {}) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const news = new News(row, raw);
  const client = await Ways.open(row, etcd.endpoint, endpoints);
  const fleet = await onFirst(client, async () => {
    const started = await Fleet.start(row, { etcd: client.endpoints, servers: 0, ttlMs });
    await started.discovery.getServiceList(news.service).catch(() => []);
    return started;
  });
  const serverWays = await Promise.all(
    Array.from({ length: servers }, () => addServerBehind(row, fleet, etcd.endpoint, endpoints)),
  );
  fleet.discovery.watchService(news.service).subscribe();
  await fleet.allReady(servers);
  return { etcd, raw, news, fleet, client, servers: serverWays, all: [client, ...serverWays] };
};

export type World = Awaited<ReturnType<typeof world>>;

/** P8 for both services, and that every lease of before is still there. */
export const aftermath = async (
  row: RowContext,
  { etcd, raw, fleet, news }: World,
  before: readonly string[],
  equalWithinMs = 3_000,
) => {
  const [echo, told] = await Promise.all([
    cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint),
    cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service),
  ]);
  row.figure('cache equals etcd after', Math.max(echo, told), 'ms', { atMost: equalWithinMs });
  const after = await leasedKeys(row, raw);
  row.figure('keys under their lease of before', before.filter((key) => after.includes(key)).length, '', {
    atLeast: before.length,
  });
};

/** Ends the load: there were calls, and none failed. */
export const noFailures = async (row: RowContext, load: ReturnType<Fleet['load']>): Promise<void> => {
  const { calls, failures } = await load.stop();
  row.figure('calls', calls, '', { atLeast: 100 });
  row.figure('failed calls', failures.length, '', { atMost: 0 });
};
