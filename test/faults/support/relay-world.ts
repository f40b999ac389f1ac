import type { ServiceEvent } from 'nestjs-etcd-discovery';
import { eventually } from '../../support/child-process.js';
import { EtcdRelay } from '../../support/etcd-relay.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { Fleet, type FleetOptions } from './fleet.js';
import { News } from './news.js';
import type { RowContext } from './row-context.js';

/** As etcd's proto files name the fields; only what the rows read. */
export interface RelayedWatchRequest {
  readonly create_request?: { readonly key?: Buffer };
}

export interface RelayedWatchResponse {
  readonly watch_id?: string;
  readonly events: readonly object[];
}

export interface RelayedRangeRequest {
  readonly key?: Buffer;
  readonly revision?: string;
}

/**
 * A fleet whose client reaches etcd through a proxy and a relay, so that its watch and its lists can be cut and
 * falsified; the servers have their own way unless `servers` says otherwise.
 */
export const relayWorld = async (row: RowContext, options: Partial<FleetOptions> & { through?: 'relay' } = {}) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const relay = row.defer(await EtcdRelay.start(etcd.endpoint), (open) => open.stop());
  const proxy = row.defer(await FaultProxy.start(relay.endpoint), (open) => open.stop());
  const serverEtcd = options.through === 'relay' ? relay.endpoint : etcd.endpoint;
  const fleet = await Fleet.start(row, { etcd: proxy.endpoint, serverEtcd, ...options });
  return { etcd, raw, relay, proxy, fleet, news: new News(row, raw) };
};

export type RelayWorld = Awaited<ReturnType<typeof relayWorld>>;

/** Follows the news from when `count` of them are known; notes what is told from then on. */
export const followNews = async ({ fleet, news }: RelayWorld, count: number, timeoutMs?: number) => {
  const told: ServiceEvent[] = [];
  const known = new Map<string, number>();
  fleet.discovery.watchService(news.service).subscribe((event) => {
    told.push(event);
    if (event.type === 'removed') known.delete(event.instance.id);
    else known.set(event.instance.id, event.instance.weight);
  });
  await eventually(
    `${count} news are known`,
    () => known.size === count,
    timeoutMs,
    () => `${known.size} are`,
  );
  told.length = 0;
  return {
    told,
    known,
    count: (type: ServiceEvent['type']) => told.filter((event) => event.type === type).length,
  };
};

/** Counts first pages of lists of the news, with the time of each. */
export const listsOfNews = ({ relay, news }: RelayWorld, row: RowContext) => {
  const lists: number[] = [];
  const prefix = `${row.namespace}/${news.service}/`;
  relay.intercept<RelayedRangeRequest>('KV/Range', 'request', (request) => {
    if (request.key?.toString() === prefix) lists.push(performance.now());
    return [request];
  });
  return lists;
};
