import { setTimeout as delay } from 'node:timers/promises';
import { EtcdCluster, type EtcdClusterOptions } from '../../support/etcd-cluster.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';
import { isolatedMember } from './isolated-member.js';
import { kept, keysUnderLeases, lostAndBack, underLoad } from '../support/under-load.js';
import { TestServer } from '../support/test-server.js';
import { WriteGap } from '../support/write-gap.js';

const startCluster = async (row: RowContext, options?: EtcdClusterOptions) =>
  row.defer(await EtcdCluster.start(options), (cluster) => cluster.stop());

const rawOf = (row: RowContext, ...endpoints: readonly string[]) =>
  row.defer(new RawEtcd(endpoints), (client) => client.close());

/** Faults of an etcd of three members. */
export const etcdClusterRows: readonly FaultRow[] = [
  {
    id: '11',
    title:
      'the leader of three paused for longer than the TTL: no call fails, what it revokes when it resumes comes back',
    takes: 'seconds',
    async run(row) {
      const cluster = await startCluster(row);
      const leader = await cluster.leader();
      const fleet = await Fleet.start(row, { etcd: cluster.endpoints });
      const [follower] = await cluster.followers();
      const raw = rawOf(row, follower!.endpoint);
      const before = await keysUnderLeases(row, raw);
      const pause = async () => {
        leader.pause();
        await delay(1.5 * row.ttlMs);
        row.figure('keys kept while it was paused', await kept(row, raw, before), '', { atLeast: before.length });
        leader.resume();
        const { lost, backMs } = await lostAndBack(row, raw, before);
        row.figure('keys revoked by the resumed leader', lost);
        row.figure('all back after', backMs, 'ms', { atMost: 2_000 });
      };
      await underLoad(row, fleet, pause, { etcd: follower!.endpoint });
    },
  },
  {
    id: '12',
    title: 'the leader of three killed: writes go on ≤ 3 s later, no lease is lost, no call fails',
    takes: 'seconds',
    async run(row) {
      const cluster = await startCluster(row);
      const leader = await cluster.leader();
      const followers = await cluster.followers();
      const fleet = await Fleet.start(row, { etcd: cluster.endpoints });
      const server = await TestServer.start(row, { etcd: { endpoints: cluster.endpoints } });
      const raw = rawOf(row, ...followers.map(({ endpoint }) => endpoint));
      const before = await keysUnderLeases(row, raw);
      const kill = async () => {
        const gap = row.defer(WriteGap.start(followers.map(({ endpoint }) => endpoint)), (writer) => writer.stop());
        await leader.kill();
        server.registry.register({ name: 'meanwhile' });
        const registeredMs = await server.reaches('meanwhile', /^registered/);
        row.figure('a registration made meanwhile takes', registeredMs, 'ms', { atMost: 3_000 });
        await delay(row.ttlMs);
        row.figure('write gap', await gap.stop(), 'ms', { atMost: 3_000 });
      };
      await underLoad(row, fleet, kill, { etcd: followers[0]!.endpoint, lowest: 3 });
      row.figure('leases lost', before.length - (await kept(row, raw, before)), '', { atMost: 0 });
    },
  },
  {
    id: '13',
    title: 'two of three killed, so that there is no quorum, and started again: the same leases go on, no call fails',
    takes: 'seconds',
    // Ten minutes with `--soak`.
    timeoutMs: 900_000,
    async run(row) {
      const cluster = await startCluster(row);
      const fleet = await Fleet.start(row, { etcd: cluster.endpoints });
      const raw = rawOf(row, ...cluster.endpoints);
      const before = await keysUnderLeases(row, raw);
      const loseQuorum = async () => {
        const dead = [await cluster.leader(), (await cluster.followers())[0]!];
        await Promise.all(dead.map((member) => member.kill()));
        await delay(row.soak ? 600_000 : 2.5 * row.ttlMs);
        await Promise.all(dead.map((member) => member.up()));
      };
      await underLoad(row, fleet, loseQuorum, { etcd: cluster.endpoints[0]!, lowest: 3 });
      row.figure('leases lost', before.length - (await kept(row, raw, before)), '', { atMost: 0 });
    },
  },
  {
    id: '14',
    title: 'the member a client is attached to cut off from the others: it moves on, and is never older than 10 s',
    takes: 'seconds',
    run: isolatedMember,
  },
  {
    id: '57',
    title: 'all members replaced, one by one, behind the same names: no lease is lost, no call fails',
    takes: 'minutes',
    async run(row) {
      const cluster = await startCluster(row);
      // Stand for DNS names whose address changes with the member.
      const names = await Promise.all(cluster.endpoints.map((endpoint) => FaultProxy.start(endpoint)));
      for (const name of names) row.defer(name, (proxy) => proxy.stop());
      const fleet = await Fleet.start(row, { etcd: names.map(({ endpoint }) => endpoint) });
      const before = await keysUnderLeases(row, rawOf(row, ...cluster.endpoints));
      const replaceAll = async () => {
        for (const [at, old] of [...cluster.members].entries()) {
          const successor = await cluster.replace(old);
          names[at]!.retarget(successor.endpoint);
          names[at]!.reset();
        }
      };
      await underLoad(row, fleet, replaceAll, { etcd: async () => (await cluster.leader()).endpoint, lowest: 3 });
      const raw = rawOf(row, ...cluster.endpoints);
      row.figure('leases lost', before.length - (await kept(row, raw, before)), '', { atMost: 0 });
    },
  },
];
