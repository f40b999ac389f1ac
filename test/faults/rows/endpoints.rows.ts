import { readFileSync } from 'node:fs';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { once } from 'node:events';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { eventually, repositoryRoot } from '../../support/child-process.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, RecordedLog, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';
import { type Answer, HOST, NamesElsewhere, NamesHere } from '../support/name-resolution.js';
import { noFailures } from '../support/network-world.js';
import { News } from '../support/news.js';
import type { RowContext } from '../support/row-context.js';
import { timeUntil } from '../support/ways.js';

/** An endpoint that will never work, and how often it was dialled, where that can be told. */
interface Broken {
  readonly endpoint: string;
  readonly dials: () => number | undefined;
}

const brokenProxy = async (row: RowContext, target: string, fault: (proxy: FaultProxy) => void): Promise<Broken> => {
  const proxy = row.defer(await FaultProxy.start(target), (open) => open.stop());
  fault(proxy);
  return { endpoint: proxy.endpoint, dials: () => proxy.accepted };
};

/** Speaks TLS to clients that do not, with a certificate that nobody trusts. */
const tlsServer = async (row: RowContext): Promise<Broken> => {
  const certificates = join(repositoryRoot, 'libs/etcd-discovery/test/etcd/certificates');
  const read = (name: string) => readFileSync(join(certificates, name));
  let dials = 0;
  const server = createServer({ cert: read('server.pem'), key: read('server.key') });
  server.on('connection', () => dials++);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  row.defer(server, (open) => open.close());
  return { endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, dials: () => dials };
};

/** Starts a server and a client application on these endpoints; how long until registered and until the news were read. */
const startBoth = async (row: RowContext, endpoints: string[], raw: RawEtcd) => {
  const name = `held-${Math.random().toString(36).slice(2, 8)}`;
  const etcd = { endpoints };
  const registration = { name, transport: 'tcp' as const };
  @Module({ imports: [EtcdDiscoveryModule.forRoot({ name, namespace: row.namespace, etcd, registration })] })
  class Server {}
  const startedAt = performance.now();
  const server = await NestFactory.createMicroservice<MicroserviceOptions>(Server, {
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
    logger: new RecordedLog(),
    abortOnError: false,
  });
  await server.listen();
  await eventually('it is registered', async () => (await raw.keys(`${row.namespace}/${name}/`)).length === 1);
  const registered = performance.now() - startedAt;
  const clientAt = performance.now();
  const client = await TestApplication.start(row, { etcd });
  await client.discovery.getServiceList('news');
  const read = performance.now() - clientAt;
  return { registered, read, close: () => Promise.all([server.close(), client.close()]) };
};

/** What is wrong with etcd's addresses. */
export const endpointRows: readonly FaultRow[] = [
  {
    id: '20',
    title: `the name of etcd's host is not resolved: no crash at the start, connections are kept, found again`,
    takes: 'seconds',
    async run(row) {
      const elsewhere = await NamesElsewhere.create(row);
      const here = NamesHere.install(row);
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      const [clientWay, serverWay] = await Promise.all([1, 2].map(() => FaultProxy.start(etcd.endpoint)));
      for (const way of [clientWay!, serverWay!]) row.defer(way, (open) => open.stop());
      const at = (way: FaultProxy) => `${HOST}:${way.port}`;
      const news = new News(row, raw);
      await news.put(0, 5);

      here.answer = 'ENOTFOUND';
      // By its name, etcd is on another machine; the servers are on this one.
      const client = { discovery: { allowLoopback: true } };
      const fleet = await Fleet.start(row, { etcd: at(clientWay!), servers: 0, client });
      const server = row.defer(
        elsewhere.start('dist/test/fixtures/lifecycle-app.js', ['micro'], {
          APP_ETCD: at(serverWay!),
          APP_NAMESPACE: row.namespace,
          APP_TTL: `${row.ttlMs}ms`,
        }),
        (process) => process.dispose(),
      );
      fleet.discovery.watchService(news.service).subscribe();
      await server.message('listening');
      await delay(row.quick ? 2_000 : 15_000);
      row.figure('processes that did not survive the start', server.running ? 0 : 1, '', { atMost: 0 });
      row.figure('keys in etcd meanwhile', (await raw.keys(`${row.namespace}/echo/`)).length, '', { atMost: 0 });
      here.answer = 'found';
      await elsewhere.set(true);
      const [registered, listed] = await Promise.all([
        timeUntil('the server is registered', async () => (await raw.keys(`${row.namespace}/echo/`)).length === 1),
        timeUntil('the news are read', () =>
          fleet.discovery.getServiceList(news.service).then(
            (list) => list.length === 5,
            () => false,
          ),
        ),
      ]);
      row.figure('registered after the name was there', registered, 'ms', { atMost: 2_000 });
      row.figure('news read after the name was there', listed, 'ms', { atMost: 2_000 });
      await fleet.allReady(1);

      // While connections live, nobody asks for the name; when they are lost, it is asked for again and again.
      const load = fleet.load();
      const [before] = await raw.keys(`${row.namespace}/echo/`);
      await elsewhere.set(false);
      for (const answer of ['ENOTFOUND', 'EAI_AGAIN', 'silence'] satisfies Answer[]) {
        here.answer = answer;
        const dials = clientWay!.accepted + serverWay!.accepted;
        await delay(row.ttlMs / 2);
        await news.put(0, 1);
        const told = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
        row.figure(`${answer}: change read after`, told, 'ms', { atMost: 2_000 });
        row.figure(`${answer}: new connections`, clientWay!.accepted + serverWay!.accepted - dials, '', { atMost: 0 });
        clientWay!.reset();
        here.lookups = 0;
        const seconds = row.quick ? 4 : 20;
        await delay(seconds * 1_000);
        // As dials are: 0.1, 0.2, 0.4 and 0.8 s apart at first, and the first of each role.
        row.figure(`${answer}: lookups in ${seconds} s`, here.lookups, '', { atLeast: 1, atMost: seconds + 6 });
        here.answer = 'found';
        await news.put(1, 2);
        const healed = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint, news.service);
        row.figure(`${answer}: cache equals etcd after`, healed, 'ms', { atMost: 3_000 });
      }
      const [after] = await raw.keys(`${row.namespace}/echo/`);
      row.figure('leases lost', before!.lease === after?.lease ? 0 : 1, '', { atMost: 0 });
      await noFailures(row, load);
    },
  },
  {
    id: '21',
    title: 'one of three endpoints never works: started in 3 s all the same, and it is not dialled in a loop',
    takes: 'seconds',
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      await new News(row, raw).put(0, 5);
      const good = await Promise.all([1, 2].map(() => FaultProxy.start(etcd.endpoint)));
      for (const way of good) row.defer(way, (open) => open.stop());
      const kinds: Record<string, Broken> = {
        'nobody listens': await brokenProxy(row, etcd.endpoint, (proxy) => proxy.refuse()),
        'TLS where none is expected': await tlsServer(row),
        'black hole': await brokenProxy(row, etcd.endpoint, (proxy) => proxy.freeze()),
        'no such host': { endpoint: 'etcd.invalid:2379', dials: () => undefined },
      };
      for (const [kind, broken] of Object.entries(kinds)) {
        const endpoints = [broken.endpoint, ...good.map(({ endpoint }) => endpoint)];
        const starts: Awaited<ReturnType<typeof startBoth>>[] = [];
        // Which endpoint an application tries first is chance: until one has met the broken one.
        for (let round = 0; round < 8 && (round < 2 || broken.dials() === 0); round++) {
          starts.push(...(await Promise.all([1, 2].map(() => startBoth(row, endpoints, raw)))));
        }
        const most = (of: (start: (typeof starts)[number]) => number) => Math.max(...starts.map(of));
        row.figure(
          `${kind}: registered after`,
          most(({ registered }) => registered),
          'ms',
          { atMost: 3_000 },
        );
        row.figure(
          `${kind}: read after`,
          most(({ read }) => read),
          'ms',
          { atMost: 3_000 },
        );
        const dials = broken.dials();
        await delay(row.quick ? 2_000 : 10_000);
        if (dials !== undefined) {
          row.figure(`${kind}: dials to start ${starts.length * 2} applications`, dials, '', {
            atLeast: 1,
            atMost: starts.length * 2 * 3,
          });
          row.figure(`${kind}: dials since`, broken.dials()! - dials, '', { atMost: 0 });
        }
        await Promise.all(starts.map(({ close }) => close()));
      }
    },
  },
];
