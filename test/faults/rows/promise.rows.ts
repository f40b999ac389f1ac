import { setTimeout as delay } from 'node:timers/promises';
import { EtcdCluster } from '../../support/etcd-cluster.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import { IdleClient } from '../support/idle-client.js';
import { ManyInstances } from '../support/many-instances.js';
import type { RowContext } from '../support/row-context.js';
import { kept, keysUnderLeases } from '../support/under-load.js';

/** P1: etcd killed, and again paused, for `seconds` each, under load, with an idle client beside. */
const etcdAway = async (row: RowContext, seconds: number): Promise<void> => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
  const services = Array.from({ length: 10 }, (_, n) => `idle-${n}`);
  for (const name of services) {
    const value = { id: 'a', name, version: '1', metadata: {}, endpoints: ['grpc://127.0.0.1:9'] };
    await raw.put(`${row.namespace}/${name}/a`, JSON.stringify(value));
  }
  const idle = await IdleClient.start(row, etcd.endpoint, services);
  const away = async (what: string, leave: () => Promise<void> | void, comeBack: () => Promise<void> | void) => {
    const told = fleet.following.told.length;
    const load = fleet.load();
    await delay(500);
    await leave();
    const measured = await idle.measure(row, what);
    await delay(seconds * 1_000);
    await measured();
    await comeBack();
    const equal = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint);
    const { calls, failures } = await load.stop();
    row.figure(`${what}: calls`, calls, '', { atLeast: 150 * seconds });
    if (failures.length > 0) console.log([...new Set(failures)].slice(0, 5).join('; '));
    row.figure(`${what}: failed calls`, failures.length, '', { atMost: 0 });
    row.figure(`${what}: lowest instance count`, fleet.following.lowest(told), '', { atLeast: 2 });
    row.figure(`${what}: cache equals etcd after`, equal, 'ms', { atMost: 3_000 });
  };
  await away(
    'killed',
    () => etcd.kill(),
    () => etcd.up(),
  );
  await away(
    'paused',
    () => etcd.pause(),
    () => etcd.resume(),
  );
  row.figure('server processes that ended', fleet.servers.filter(({ running }) => !running).length, '', { atMost: 0 });
};

/** P7: `pause` of an etcd that three services of ten instances and three clients use. */
const pausedUnderMany = async (
  row: RowContext,
  what: string,
  endpoints: readonly string[],
  healthy: string,
  pause: (ms: number) => Promise<void>,
): Promise<void> => {
  const many = await ManyInstances.start(row, endpoints, { name: what.replaceAll(' ', '-') });
  const raw = row.defer(new RawEtcd(healthy), (client) => client.close());
  const before = await keysUnderLeases(row, raw);
  const stopLoad = await many.load();
  await delay(500);
  // 15 s at the default TTL.
  await pause(1.5 * row.ttlMs);
  const equal = await many.equalEtcd(healthy);
  row.figure(`${what}: every client equals etcd after`, equal, 'ms', { atMost: 3_000 });
  await delay(row.ttlMs);
  // At the end: a resumed leader may revoke leases some time later.
  row.figure(`${what}: keys that expired, of ${before.length}`, before.length - (await kept(row, raw, before)));
  const { calls, failed } = await stopLoad();
  row.figure(`${what}: calls`, calls, '', { atLeast: 1_000 });
  row.figure(`${what}: failed calls`, failed, '', { atMost: 0 });
  const lowest = row.figure(`${what}: lowest instance count, of 10`, many.lowest(), '', { atLeast: 5 });
  if (lowest < 5) console.log(many.story());
  row.figure(`${what}: instances missing at the end`, many.missing(), '', { atMost: 0 });
  await many.stop();
};

/** Figures of promises that belong to no single row. */
export const promiseRows: readonly FaultRow[] = [
  {
    id: 'P1',
    title: 'etcd killed for a minute, and paused for a minute: no call fails, and waiting costs next to nothing',
    takes: 'minutes',
    timeoutMs: 300_000,
    run: (row) => etcdAway(row, row.quick ? 20 : 60),
  },
  {
    id: 'P1b',
    title: 'the same for ten minutes each',
    takes: 'soak',
    timeoutMs: 1_500_000,
    run: (row) => etcdAway(row, 600),
  },
  {
    id: 'P7',
    title:
      'a single etcd, and the leader of three, paused for 1.5 TTL under 3 × 10 instances: nothing fails or empties',
    takes: 'minutes',
    timeoutMs: 300_000,
    async run(row) {
      const single = row.defer(await EtcdServer.start(), (server) => server.stop());
      await pausedUnderMany(row, 'single etcd', [single.endpoint], single.endpoint, async (ms) => {
        single.pause();
        await delay(ms);
        single.resume();
      });
      await single.stop();
      const cluster = row.defer(await EtcdCluster.start(), (started) => started.stop());
      const leader = await cluster.leader();
      const [follower] = await cluster.followers();
      await pausedUnderMany(row, 'leader of three', cluster.endpoints, follower!.endpoint, async (ms) => {
        leader.pause();
        await delay(ms);
        leader.resume();
      });
    },
  },
];
