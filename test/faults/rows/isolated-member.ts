import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/child-process.js';
import { EtcdCluster } from '../../support/etcd-cluster.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { Fleet } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';
import { kept, keysUnderLeases, underLoad } from '../support/under-load.js';

/**
 * etcd ends streams that asked for a leader at its fourth check, one election timeout apart, after it has missed the
 * leader for up to two. That is up to 6 s by default, and no client can change it; with this timeout it is 4.5 s.
 */
const ELECTION_TIMEOUT_MS = 750;
const WATCH_ENDS_MS = 5_000;
const STALENESS_MS = 10_000;

/**
 * Row 14. The client is attached to one member by being offered that one first; then this member is made a follower and
 * cut off from the others, while it goes on talking to its clients.
 */
export const isolatedMember = async (row: RowContext): Promise<void> => {
  const args = ['--election-timeout', String(ELECTION_TIMEOUT_MS)];
  const cluster = row.defer(await EtcdCluster.start({ isolable: true, args }), (started) => started.stop());
  const proxies = await Promise.all(cluster.endpoints.map((endpoint) => FaultProxy.start(endpoint)));
  for (const proxy of proxies) row.defer(proxy, (open) => open.stop());
  // Two are away while the client connects, so that all its connections go to the first.
  for (const proxy of proxies.slice(1)) proxy.refuse();
  const [member] = cluster.members;
  const fleet = await Fleet.start(row, {
    etcd: proxies.map(({ endpoint }) => endpoint),
    serverEtcd: cluster.endpoints.join(','),
  });
  for (const proxy of proxies) proxy.pass();
  await cluster.lead(cluster.members[1]!);
  const raw = row.defer(new RawEtcd(cluster.endpoints.slice(1)), (client) => client.close());
  const before = await keysUnderLeases(row, raw);
  await seenAfter(row, raw, fleet, 'written-before');
  row.figure('connections to the member', proxies[0]!.open, '', { atLeast: 1 });

  await underLoad(
    row,
    fleet,
    async () => {
      await cluster.isolate(member!);
      const cutAt = performance.now();
      let oldest = 0;
      const ended = eventually('the client has let go of the member', () => proxies[0]!.open === 0, 30_000).then(() =>
        row.figure('its watch there ends after', performance.now() - cutAt, 'ms', { atMost: WATCH_ENDS_MS }),
      );
      const watching = async () => {
        for (let n = 0; performance.now() - cutAt < STALENESS_MS; n++) {
          oldest = Math.max(oldest, await seenAfter(row, raw, fleet, `written-${n}`));
          await delay(100);
        }
      };
      await Promise.all([ended, watching()]);
      row.figure('oldest state the client showed', oldest, 'ms', { atMost: STALENESS_MS });
      cluster.rejoin();
      await raw.delete(`${row.namespace}/other/written`);
    },
    { etcd: cluster.endpoints[1]!, lowest: 3 },
  );
  row.figure('leases lost', before.length - (await kept(row, raw, before)), '', { atMost: 0 });
};

/** Changes an instance of a service of its own, and resolves with how long the client took to show it, ms. */
const seenAfter = async (row: RowContext, raw: RawEtcd, fleet: Fleet, version: string): Promise<number> => {
  const value = { id: 'written', name: 'other', version, metadata: {}, endpoints: ['grpc://127.0.0.1:9'] };
  await raw.put(`${row.namespace}/other/written`, JSON.stringify(value));
  const writtenAt = performance.now();
  await eventually(
    `the client shows ${version}`,
    async () => (await fleet.discovery.getServiceList('other')).some((instance) => instance.version === version),
    30_000,
  );
  return performance.now() - writtenAt;
};
