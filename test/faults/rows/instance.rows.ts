import { setTimeout as delay } from 'node:timers/promises';
import { type TestProcess, eventually } from '../../support/child-process.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';

/** A fleet of three on an etcd of its own, and a look into that etcd. */
const world = async (row: RowContext, env: NodeJS.ProcessEnv = {}) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const fleet = await Fleet.start(row, { etcd: etcd.endpoint, env });
  const stored = async (id: string) => (await raw.keys(`${row.namespace}/echo/`)).find(({ key }) => key.endsWith(id));
  return { etcd, raw, fleet, stored };
};

/** What a server said about its registration, each state once per change. */
const statesOf = (server: TestProcess): string[] =>
  server.messages
    .filter(({ event }) => event === 'states')
    .map(({ states }) => (states as { state: string }[])[0]?.state ?? '')
    .filter((state, index, all) => state !== all[index - 1]);

/** An instance that does not get to renew its lease: by `stop` for one and a half TTL, then by `go` it is back. */
const missRenewals = async (
  row: RowContext,
  stop: (server: TestProcess, ms: number) => Promise<void>,
): Promise<void> => {
  const { etcd, raw, fleet, stored } = await world(row);
  const server = fleet.servers[0]!;
  const id = fleet.idOf(server);
  const [leases, old] = [await raw.leases(), await stored(id)];
  const startedAt = performance.now();
  const stopped = stop(server, 1.6 * row.ttlMs);
  await eventually(
    'the list is rid of it',
    async () => (await fleet.discovery.getServiceList('echo')).every((instance) => instance.id !== id),
    row.ttlMs + 5_000,
    () => fleet.following.story(),
  );
  row.figure('gone from the list after', performance.now() - startedAt, 'ms', { atMost: row.ttlMs + 1_000 });
  // Whatever was on its way to it has failed or been served elsewhere; from here on it gets nothing.
  const load = fleet.load();
  await stopped;
  const goneOn = performance.now();
  const back = await eventually('its key is back', () => stored(id), 10_000);
  row.figure('key back after it goes on', performance.now() - goneOn, 'ms', { atMost: 2_000 });
  await eventually(
    'it says that it was lost and is back',
    () => statesOf(server).join(' ').endsWith('lost registered'),
    5_000,
    () => statesOf(server).join(' '),
  );
  row.figure('times it said lost', statesOf(server).filter((state) => state === 'lost').length, '', { atMost: 1 });
  row.figure('under a new lease', back.lease === old?.lease ? 0 : 1, '', { atLeast: 1 });
  row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
    atMost: 2_000,
  });
  await fleet.allReady();
  const { calls, failures } = await load.stop();
  row.figure('calls while it was away', calls, '', { atLeast: 10 });
  row.figure('failed', failures.length, '', { atMost: 0 });
  row.figure('keys', (await raw.keys(`${row.namespace}/`)).length, '', { atMost: 3, atLeast: 3 });
  row.figure('leases', (await raw.leases()).length, '', { atMost: leases.length, atLeast: leases.length });
};

/** Faults of single instances. */
export const instanceRows: readonly FaultRow[] = [
  {
    id: '3',
    title: 'an instance stopped for longer than its TTL leaves, and comes back by itself when it goes on',
    takes: 'seconds',
    run: (row) =>
      missRenewals(row, async (server, ms) => {
        server.signal('SIGSTOP');
        await delay(ms);
        server.signal('SIGCONT');
      }),
  },
  {
    id: '5',
    title: 'SIGTERM while etcd is down: the instance ends within its bound, and no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, fleet } = await world(row);
      const [server] = fleet.servers;
      const load = fleet.load();
      await delay(300);
      await etcd.kill();
      await delay(300);
      const sentAt = performance.now();
      server!.signal('SIGTERM');
      const { code, signal } = await server!.exit(20_000);
      // What the wait, the removal and the revoke may take while nobody answers.
      row.figure('process ended after', performance.now() - sentAt, 'ms', { atMost: 5_000 });
      row.figure('ended by its own will', signal === null || signal === 'SIGTERM' ? 1 : 0, '', { atLeast: 1 });
      row.figure('exit code', code ?? 0, '', { atMost: 0 });
      await delay(1_000);
      await etcd.up();
      const { calls, failures } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      // etcd counts the TTL anew when it starts; the key of the one that left ends with it.
      const upAt = performance.now();
      const left = () => fleet.following.size === 2;
      await eventually('its key ends with its lease', left, row.ttlMs + 5_000, () => fleet.following.story());
      row.figure('gone after etcd was back', performance.now() - upAt, 'ms', { atMost: row.ttlMs + 1_000 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
  {
    id: '6',
    title: 'a second SIGTERM while draining: one drain only, hastened',
    takes: 'seconds',
    async run(row) {
      // Long enough that a drain which is not hastened is told apart.
      const { etcd, fleet } = await world(row, { APP_PROPAGATION_WAIT: '4s', APP_DRAIN_TIMEOUT: '10s' });
      const [server] = fleet.servers;
      const id = fleet.idOf(server!);
      const load = fleet.load();
      await delay(300);
      const sentAt = performance.now();
      server!.signal('SIGTERM');
      const left = () => fleet.following.told.some(({ type, instance }) => type === 'removed' && instance.id === id);
      await eventually('it has left', left, 5_000, () => fleet.following.story());
      row.figure('left the list after', performance.now() - sentAt, 'ms', { atMost: 500 });
      // Within a second it is the same one, as a terminal and a process manager both send it.
      server!.signal('SIGTERM');
      await delay(1_200 - (performance.now() - sentAt));
      row.figure('still serving', server!.running ? 1 : 0, '', { atLeast: 1 });
      server!.signal('SIGTERM');
      await server!.exit(20_000);
      row.figure('process ended after', performance.now() - sentAt, 'ms', { atMost: 3_000 });
      await delay(500);
      const { failures } = await load.stop();
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      const about = fleet.following.told.filter(({ instance }) => instance.id === id).slice(1);
      row.figure('events about it', about.length, '', { atMost: 1, atLeast: 1 });
      row.figure('of them drained', about.filter(({ reason }) => reason === 'drained').length, '', { atLeast: 1 });
      const drains = server!.messages.filter(({ event }) => event === 'draining').length;
      row.figure('drains', drains, '', { atMost: 1, atLeast: 1 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
  {
    id: '7',
    title: "a provider's event loop blocked for longer than its TTL: told as lost, back by itself, registered once",
    takes: 'seconds',
    run: (row) =>
      missRenewals(row, async (server, ms) => {
        server.send({ command: 'block', ms });
        await server.message('block', ms + 10_000);
      }),
  },
];
