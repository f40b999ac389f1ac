import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/child-process.js';
import type { FaultRow } from '../support/fault-row.js';
import { Following, cacheEqualsEtcd } from '../support/fleet.js';
import { type CountedWay, GuardedWorld, USER } from '../support/guarded-etcd.js';
import { noFailures } from '../support/network-world.js';
import type { RowContext } from '../support/row-context.js';
import { timeUntil } from '../support/ways.js';

const TOKEN_TTL_S = 3;
/** One for each of three connections, then the gate's quick ones: 100, 200, 400 and 800 ms apart. */
const FIRST_LOGINS = 8;
/** Lists and watches that a client begins at once with a token that has expired. */
const CROWD = 20;

/** The news that the client follows, one instance of them. */
const followNews = async ({ news, fleet }: GuardedWorld): Promise<Following> => {
  const following = new Following(fleet.discovery, news.service);
  await news.put(0, 1);
  await eventually('the news are known', () => following.size === 1);
  return following;
};

/** Puts one more and resolves with how long it took until the client knew it, ms. */
const learns = async ({ news }: GuardedWorld, following: Following, number: number): Promise<number> => {
  await news.put(number, number + 1);
  return timeUntil(
    `the client knows n${number}`,
    () => following.told.some(({ instance }) => instance.id === `n${number}`),
    30_000,
  );
};

const aftermath = async (row: RowContext, { raw, fleet, news }: GuardedWorld): Promise<void> => {
  for (const service of ['echo', news.service]) {
    const ms = await cacheEqualsEtcd(row, fleet.discovery, raw, service);
    row.figure(`cache of ${service} equals etcd after`, ms, 'ms', { atMost: 3_000 });
  }
};

const keysOf = async (row: RowContext, { raw }: GuardedWorld): Promise<string[]> =>
  (await raw.keys(`${row.namespace}/echo/`)).map(({ key, lease }) => `${key} ${lease}`).toSorted();

/** The shortest time between two log-ins of a process, its first quick ones aside, ms. */
const shortestGap = ({ logins }: CountedWay, from: number): number => {
  const later = logins.slice(from + FIRST_LOGINS);
  if (later.length < 2) return Number.NaN;
  return Math.min(...later.slice(1).map((at, index) => at - later[index]!));
};

const linesWith = (text: string, pattern: RegExp): number =>
  text.split('\n').filter((line) => pattern.test(line)).length;

/** What etcd asks for and grants: tokens, permissions, passwords. */
export const authRows: readonly FaultRow[] = [
  {
    id: '31',
    title: 'tokens expire while nobody uses them: one log-in per connection and expiry, nobody notices',
    takes: 'seconds',
    async run(row) {
      const world = await GuardedWorld.start(row, { tokenTtlS: TOKEN_TTL_S });
      const { fleet, servers, client, raw } = world;
      const before = await keysOf(row, world);
      const load = fleet.load();
      const most = { client: 0, server: 0 };
      let rejected = 0;
      let refused = 0;
      const rounds = row.quick ? 2 : 8;
      for (let round = 0; round < rounds; round++) {
        // Every question to etcd about a token prolongs it, so time itself is the only thing to wait for.
        await delay((TOKEN_TTL_S + 1.5) * 1_000);
        const logins = world.ways.map((way) => way.logins.length);
        const denied = client.refusedWatches.length;
        const weight = round + 20;
        for (const { process } of servers) process.send({ command: 'update', weight });
        const crowd = Array.from({ length: CROWD }, (_, at) => `crowd-${round}-${at}`);
        const followed = crowd.map((service) => new Following(fleet.discovery, service));
        await Promise.all(crowd.map((service) => fleet.discovery.getServiceList(service))).catch(() => rejected++);
        for (const { process } of servers) {
          const { error } = await process.message<{ error?: string }>(`updated-${weight}`);
          if (error !== undefined) rejected++;
        }
        for (const service of crowd) await raw.put(`${row.namespace}/${service}/i`, '10.255.0.1:50051');
        const ms = await timeUntil('every watch tells', () => followed.every(({ size }) => size === 1));
        if (round === 0) row.figure('their first change known after', ms, 'ms', { atMost: 2_000 });
        refused += client.refusedWatches.length - denied;
        const [ofClient = 0, ...ofServers] = world.ways.map((way, at) => way.logins.length - logins[at]!);
        most.client = Math.max(most.client, ofClient);
        most.server = Math.max(most.server, ...ofServers);
      }
      row.figure('expiries', rounds, '', { atLeast: 2 });
      row.figure('watches that etcd refused for the token', refused, '', { atLeast: rounds });
      // One connection of each was in use: the client's for watches, the servers' for writes.
      row.figure(`log-ins of a client that begins ${CROWD} watches, per expiry`, most.client, '', {
        atMost: 1,
        atLeast: 1,
      });
      row.figure('log-ins of a server, per expiry', most.server, '', { atMost: 1, atLeast: 1 });
      row.figure('lists and updates that failed', rejected, '', { atMost: 0 });
      const said = fleet.client.log.lines.filter((line) =>
        /^(warn|error) .*(token|credentials|permission)/i.test(line),
      );
      row.figure('complaints in the log', said.length, '', { atMost: 0 });
      await noFailures(row, load);
      const after = await keysOf(row, world);
      row.figure('keys under their lease of before', before.filter((key) => after.includes(key)).length, '', {
        atLeast: 3,
      });
      await aftermath(row, world);
    },
  },
  {
    id: '32',
    title:
      'permission revoked: open watches flow on, a denied one keeps the cache and asks in peace, all is back with it',
    takes: 'seconds',
    async run(row) {
      const world = await GuardedWorld.start(row);
      const { fleet, servers, client, raw } = world;
      const following = await followNews(world);
      const load = fleet.load();
      const told = fleet.following.told.length;
      await world.permit(false);
      row.figure('a change on the open watch known after', await learns(world, following, 1), 'ms', { atMost: 2_000 });
      // A new connection, and with it new lists: denied. And a server loses its lease and may not put its key again.
      const lists = client.relay.count('KV/Range');
      client.proxy.reset();
      const [server] = servers;
      const id = fleet.idOf(server!.process);
      const lease = (await raw.keys(`${row.namespace}/echo/`)).find(({ key }) => key.endsWith(id))?.lease;
      const writes = server!.way.relay.count('KV/Txn');
      await raw.revoke(lease!);
      const seconds = row.quick ? 8 : 30;
      await delay(seconds * 1_000);
      // Five quick attempts, then at most one a second, for each of two services; and the probe after the reset.
      row.figure(
        'lists asked for per second and service',
        (client.relay.count('KV/Range') - lists - 12) / 2 / seconds,
        '/s',
        {
          atMost: 1,
        },
      );
      row.figure('puts of the server that lost its key', server!.way.relay.count('KV/Txn') - writes, '', {
        atMost: seconds,
        atLeast: 1,
      });
      const denials = fleet.client.log.lines.filter((line) => /^warn .*permission denied/.test(line));
      row.figure('log lines of the client about it, per service', denials.length / 2, '', { atMost: 1, atLeast: 1 });
      row.figure('of the server', linesWith(server!.process.output, /permission denied/), '', {
        atMost: 1,
        atLeast: 1,
      });
      row.figure('instances in the cache', (await fleet.discovery.getServiceList('echo')).length, '', { atLeast: 3 });
      row.figure('news in the cache', (await fleet.discovery.getServiceList('news')).length, '', { atLeast: 2 });
      await world.permit(true);
      const grantedAt = performance.now();
      const isBack = async () => (await keysOf(row, world)).some((key) => key.includes(id));
      const [known] = await Promise.all([
        learns(world, following, 2),
        eventually('the key is back', isBack, 20_000).then(() =>
          row.figure('key back after it may be put', performance.now() - grantedAt, 'ms', { atMost: 7_500 }),
        ),
      ]);
      row.figure('the client reads again after', known, 'ms', { atMost: 3_000 });
      await noFailures(row, load);
      row.figure('lowest instance count', fleet.following.lowest(told), '', { atLeast: 2 });
      await aftermath(row, world);
    },
  },
  {
    id: '33',
    title: 'the password is changed away and back: no storm of log-ins, calls go on, all is well 5 s after',
    takes: 'seconds',
    async run(row) {
      const world = await GuardedWorld.start(row);
      const { fleet, servers, ways, raw } = world;
      const following = await followNews(world);
      const load = fleet.load();
      await world.setPassword('another-word');
      const logins = ways.map((way) => way.logins.length);
      // Who is connected goes on; new connections have to log in.
      for (const { proxy } of ways) proxy.reset();
      const seconds = row.quick ? 14 : 30;
      await delay(seconds * 1_000);
      const tries = ways.map((way, at) => way.logins.length - logins[at]!);
      row.figure('log-ins tried, the fewest of a process', Math.min(...tries), '', { atLeast: FIRST_LOGINS + 2 });
      row.figure('log-ins tried, the most of a process', Math.max(...tries), '', { atMost: seconds + FIRST_LOGINS });
      const gap = Math.min(...ways.map((way, at) => shortestGap(way, logins[at]!)));
      row.figure('shortest time between two of the later ones', gap, 'ms', { atLeast: 950 });
      row.figure('instances in the cache', (await fleet.discovery.getServiceList('echo')).length, '', { atLeast: 3 });
      await world.setPassword(USER.password);
      const rightAt = performance.now();
      const all = async () => (await raw.keys(`${row.namespace}/echo/`)).length === 3;
      await Promise.all([learns(world, following, 1), eventually('all keys are in etcd', all, 30_000)]);
      row.figure('registered and reading again after', performance.now() - rightAt, 'ms', { atMost: 5_000 });
      await noFailures(row, load);
      const texts = [fleet.client.log.lines.join('\n'), ...servers.map(({ process }) => process.output)];
      const complaints = texts.map((text) => linesWith(text, /does not accept our credentials/));
      row.figure('complaints in the log of a process', Math.max(...complaints), '', { atMost: 3, atLeast: 1 });
      row.figure('passwords in logs', texts.filter((text) => text.includes(USER.password)).length, '', { atMost: 0 });
      await aftermath(row, world);
    },
  },
];
