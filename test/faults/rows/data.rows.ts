import { eventually } from '../../support/child-process.js';
import { echoClient, say } from '../../support/echo-client.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { POLLUTING, corruptValues, isPolluted } from '../support/corrupt-values.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, Following, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';
import { noFailures } from '../support/network-world.js';
import { News } from '../support/news.js';
import type { RowContext } from '../support/row-context.js';
import { skippedLines, skippedSum } from '../support/skipped-lines.js';
import { timeUntil } from '../support/ways.js';

/** Three servers of `echo`, a client behind a proxy of its own, and somebody else who writes to the same etcd. */
const world = async (row: RowContext) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const proxy = row.defer(await FaultProxy.start(etcd.endpoint), (open) => open.stop());
  const fleet = await Fleet.start(row, { etcd: proxy.endpoint, serverEtcd: etcd.endpoint });
  const lines = (service: string, { log } = fleet.client) => skippedLines(log, service, row.namespace);
  return { etcd, raw, proxy, fleet, lines };
};

/** Starts one more server and notes how long after its registration the client knows it. */
const learnsOfAnother = async (row: RowContext, fleet: Fleet, count: number): Promise<void> => {
  await fleet.addServer();
  const ms = await timeUntil('the client knows the new server', () => fleet.following.size === count);
  row.figure('a new instance is known after', ms, 'ms', { atMost: 500 });
};

const under = (prefix: string, values: Readonly<Record<string, string | Buffer>>) =>
  Object.fromEntries(Object.entries(values).map(([id, value]) => [`${prefix}${id}`, value]));

const same = (a: readonly string[], b: readonly string[]): boolean =>
  JSON.stringify(a.toSorted()) === JSON.stringify(b.toSorted());

/** Values and keys that others write where instances lie. */
export const dataRows: readonly FaultRow[] = [
  {
    id: '38',
    title: 'corrupt values of every kind beside the instances: nobody else notices, counted, one log line a minute',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, proxy, fleet, lines } = await world(row);
      const load = fleet.load();
      const told = fleet.following.told.length;
      const corrupt = under(`${row.namespace}/echo/`, corruptValues);
      const { length: count } = Object.keys(corrupt);
      await raw.change(corrupt);
      await eventually('the log says so', () => lines('echo').length > 0);
      // Listed again they are the same values: no news.
      proxy.reset();
      await learnsOfAnother(row, fleet, 4);
      for (let round = 0; round < 10; round++) await raw.change(corrupt);
      await raw.change({ [`${row.namespace}/hostile/prototype`]: POLLUTING });
      await raw.change({ [`${row.namespace}/hostile/id\n[Nest] 1 - ERROR faked`]: 'x' });
      const [hostile] = await fleet.discovery.getServiceList('hostile');
      row.figure('metadata kept of a polluting value', Object.keys(hostile?.metadata ?? {}).length, '', {
        atMost: 1,
        atLeast: 1,
      });
      row.figure('counted in the first line', lines('echo')[0]?.count ?? 0, '', { atLeast: count, atMost: count });
      row.figure('keys it names', lines('echo')[0]?.keys ?? 0, '', { atLeast: 5, atMost: 5 });
      row.figure('lines in the first minute', lines('echo').length, '', { atMost: 1 });
      if (!row.quick) {
        await eventually('the next minute has its line', () => lines('echo').length > 1, 70_000);
        row.figure('counted in two minutes', skippedSum(lines('echo')), '', {
          atLeast: 11 * count,
          atMost: 11 * count,
        });
        row.figure('in lines', lines('echo').length, '', { atMost: 2 });
      }
      // From here on its log has everybody's lines: Nest has one logger per process.
      const late = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      const { length: listed } = await late.discovery.getServiceList('echo');
      row.figure('instances in a list that starts with them', listed, '', { atLeast: 4, atMost: 4 });
      row.figure('counted by it', skippedSum(lines('echo', late)), '', { atLeast: count, atMost: count });
      row.figure('in lines', lines('echo', late).length, '', { atMost: 1 });
      const { lines: logged } = fleet.client.log;
      row.figure('log lines that were made by others', logged.filter((line) => line.includes('\n')).length, '', {
        atMost: 0,
      });
      row.figure('prototypes polluted', isPolluted() ? 1 : 0, '', { atMost: 0 });
      await noFailures(row, load);
      row.figure('events about the instances of before', fleet.following.told.slice(told).length - 1, '', {
        atMost: 0,
      });
      row.figure('lowest instance count', fleet.following.lowest(told), '', { atLeast: 3 });
      await raw.change({}, Object.keys(corrupt));
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
  {
    id: '39',
    title: 'foreign keys, deeper keys and directories under the prefix: ignored and counted',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, fleet, lines } = await world(row);
      const { namespace } = row;
      const everything = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      await everything.discovery.startWatch();
      const load = fleet.load();
      const told = fleet.following.told.length;
      const ofEcho = under(`${namespace}/echo`, {
        '': 'a directory',
        '/': '',
        '//': 'x',
        '/a/b': '{"Addr":"10.255.0.1:50051"}',
        '/a/b/c/d': '10.255.0.1:50051',
        '/config.json': '{"retries":3}',
        '/lock': '<lock owner="somebody"/>',
        '/__proto__': '10.255.0.1:50051',
        [`/${'i'.repeat(300)}`]: '10.255.0.1:50051',
      });
      const ofNobody = under(namespace, { '': 'x', '/': 'x', '//x': 'x', '//echo/x': 'x', '-v2/echo/x': 'x' });
      const { length: count } = Object.keys(ofEcho);
      await raw.change({ ...ofEcho, ...ofNobody });
      // The plain key of a service is an instance, written by older programs.
      const plain = `${namespace}/older`;
      await raw.put(plain, '10.255.0.1:50051');
      const older = new Following(fleet.discovery, 'older');
      await eventually('the plain key is an instance', () => older.size === 1);
      // Nest has one logger per process: that of the application that was created last.
      const log = () => lines('echo', everything);
      await eventually('both say what they skipped', () => log().length > 1);
      row.figure('counted by a watch of the service and one of all', skippedSum(log()), '', {
        atLeast: 2 * count,
        atMost: 2 * count,
      });
      row.figure('in lines', log().length, '', { atMost: 2 });
      for (const { discovery } of [fleet.client, everything]) {
        const { length } = await discovery.getServiceList('echo');
        row.figure('instances', length, '', { atLeast: 3, atMost: 3 });
      }
      const services = Object.keys(await everything.discovery.getAllServices());
      row.figure('services', same(services, ['echo', 'older']) ? 2 : services.length, '', { atLeast: 2, atMost: 2 });
      await learnsOfAnother(row, fleet, 4);
      await raw.change({}, [...Object.keys(ofEcho), ...Object.keys(ofNobody), plain]);
      await eventually('the plain key is gone', () => older.size === 0);
      await noFailures(row, load);
      row.figure('events about the instances of before', fleet.following.told.slice(told).length - 1, '', {
        atMost: 0,
      });
      for (const { discovery } of [fleet.client, everything]) {
        row.figure('cache equals etcd after', await cacheEqualsEtcd(row, discovery, etcd.endpoint), 'ms', {
          atMost: 2_000,
        });
      }
    },
  },
  {
    id: '40',
    title: 'services whose names begin alike (echo, echo-bar, echo.x, echo0, echo\\0x) are never mixed',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, fleet } = await world(row);
      const neighbours = ['echo-bar', 'echo.x', 'echo0'];
      const everything = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      await everything.discovery.startWatch();
      const echo = fleet.servers.slice();
      const load = fleet.load();
      const told = fleet.following.told.length;
      const servers = await Promise.all(neighbours.map((name) => fleet.addServer({ APP_SERVICE: name })));
      // No name that may be written has a NUL, but whoever writes to etcd may.
      const strange = [`${row.namespace}/echo\0x/i`, `${row.namespace}/echo\0`, `${row.namespace}/echo/\0x`];
      for (const key of strange) await raw.put(key, '10.255.0.1:50051');
      const refused = await fleet.discovery
        .getServiceList('echo\0x')
        .then(String, ({ code }: { code: string }) => code);
      row.figure('a name with NUL is refused', refused === 'INVALID_NAME' ? 1 : 0, '', { atLeast: 1 });
      const pids = echo.map(({ pid }) => String(pid));
      let strays = 0;
      for (const [index, name] of neighbours.entries()) {
        const expected = String(servers[index]!.pid);
        const stub = row.defer(echoClient(`etcd://${fleet.client.connection}/${name}`), (open) => open.close());
        for (let call = 0; call < 20; call++) if ((await say(stub, name)).servedBy !== expected) strays++;
        for (const { discovery } of [fleet.client, everything]) {
          const list = await discovery.getServiceList(name);
          if (
            !same(
              list.map(({ id }) => id),
              [fleet.idOf(servers[index]!)],
            )
          )
            strays++;
        }
      }
      const services = Object.keys(await everything.discovery.getAllServices());
      row.figure('services in the namespace', services.length, '', { atLeast: 4, atMost: 4 });
      // One leaves, one crashes, the strange keys go: none of that is about echo.
      servers[0]!.signal('SIGTERM');
      servers[2]!.signal('SIGKILL');
      await raw.change({}, strange);
      await eventually(
        'the two are gone',
        async () => same(Object.keys(await everything.discovery.getAllServices()), ['echo', 'echo.x']),
        row.ttlMs + 5_000,
      );
      const { calls, failures, perInstance } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      strays += [...perInstance.keys()].filter((pid) => !pids.includes(pid)).length;
      row.figure('instances and calls that went astray', strays, '', { atMost: 0 });
      row.figure('events about echo', fleet.following.told.slice(told).length, '', { atMost: 0 });
      for (const service of ['echo', 'echo.x']) {
        const ms = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, service);
        row.figure(`cache of ${service} equals etcd after`, ms, 'ms', { atMost: 2_000 });
      }
    },
  },
  {
    id: '41',
    title: 'eight foreign values of 1.4 MB under the prefix: the watch goes on, lists come in smaller pages',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw, proxy, fleet, lines } = await world(row);
      const news = new News(row, raw);
      const prefix = `${row.namespace}/${news.service}/`;
      const following = new Following(fleet.discovery, news.service);
      await news.put(0, 300);
      await eventually('the news are known', () => following.size === 300);
      const load = fleet.load();
      const huge = Array.from({ length: 8 }, (_, at) => `${prefix}huge-${at}`);
      const value = Buffer.alloc(1_400_000, 'x');
      const putHuge = () => Promise.all(huge.map((key) => raw.put(key, value)));
      const learns = async (figure: string, number: number, atMost: number) => {
        await news.put(number, number + 1);
        const known = () => following.told.some(({ instance }) => instance.id === `n${number}`);
        row.figure(figure, await timeUntil('the news behind them are known', known), 'ms', { atMost });
      };
      // All of them in one answer of the watch: nothing passes until the last is written.
      const watches = async () => watchesBegun(etcd.endpoint);
      const begun = await watches();
      proxy.freeze();
      await putHuge();
      proxy.pass();
      await learns('news known with 11 MB before them on the watch', 300, 2_000);
      row.figure('watch streams begun meanwhile', (await watches()) - begun, '', { atMost: 0 });
      // Written again while the client is cut off: it lists them.
      proxy.cut();
      await putHuge();
      proxy.pass();
      await learns('news known after a break, with them in the list', 301, 3_000);
      const late = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      const { length: listed } = await late.discovery.getServiceList(news.service);
      row.figure('instances in a list that starts with them', listed, '', { atLeast: 302, atMost: 302 });
      row.figure('counted by it', skippedSum(lines(news.service, late)), '', { atLeast: 8, atMost: 8 });
      row.figure('log lines about them', lines(news.service).length, '', { atLeast: 1, atMost: 1 });
      await noFailures(row, load);
      row.figure('lowest count of news', following.lowest(302), '', { atLeast: 300 });
      await raw.change({}, huge);
      for (const service of ['echo', news.service]) {
        const ms = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, service);
        row.figure(`cache of ${service} equals etcd after`, ms, 'ms', { atMost: 2_000 });
      }
    },
  },
];

const watchesBegun = async (endpoint: string): Promise<number> => {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  return Number(/^grpc_server_started_total\{grpc_method="Watch",.*\} (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
};
