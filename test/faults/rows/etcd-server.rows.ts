import { setTimeout as delay } from 'node:timers/promises';
import { EtcdServer } from '../../support/etcd-server.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import type { FaultRow } from '../support/fault-row.js';

/** Faults of the etcd process itself. */
export const etcdServerRows: readonly FaultRow[] = [
  {
    id: '9',
    title: 'etcd killed and started again later: the same leases go on, no call fails',
    takes: 'seconds',
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const leases = async () => (await raw.keys(`${row.namespace}/`)).map(({ key, lease }) => `${key} ${lease}`);
      const before = (await leases()).toSorted();
      const load = fleet.load();
      const told = fleet.following.told.length;
      await delay(500);
      await etcd.restart(2.5 * row.ttlMs);
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 3_000,
      });
      await delay(row.ttlMs);
      const { calls, failures } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      const after = (await leases()).toSorted();
      row.figure('keys under their lease of before', before.filter((key) => after.includes(key)).length, '', {
        atLeast: before.length,
      });
      row.figure('lowest instance count', fleet.following.lowest(told), '', { atLeast: 3 });
    },
  },
];
