import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { DiscoveryService, EtcdDiscoveryModule, ServiceRegistry } from 'nestjs-etcd-discovery';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './support/child-process.js';
import { echoProtoPath } from './support/echo-client.js';
import { EtcdServer } from './support/etcd-server.js';
import { RawEtcd } from './support/raw-etcd.js';

const SERVICES = ['a', 'b', 'c', 'd', 'e'];
let etcd: EtcdServer;
let raw: RawEtcd;

beforeAll(async () => {
  etcd = await EtcdServer.start();
  raw = new RawEtcd(etcd.endpoint);
});
afterAll(async () => {
  raw.close();
  await etcd.stop();
});

/** What etcd itself counts. */
const load = async () => {
  const metrics = await (await fetch(`http://${etcd.endpoint}/metrics`)).text();
  const gauge = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(metrics)?.[1]);
  return {
    streams: gauge('etcd_debugging_mvcc_watch_stream_total'),
    watchers: gauge('etcd_debugging_mvcc_watcher_total'),
    leases: (await raw.leases()).length,
  };
};

const settles = (what: string, expected: Awaited<ReturnType<typeof load>>) =>
  eventually(what, async () => JSON.stringify(await load()) === JSON.stringify(expected), 10_000).catch(async () =>
    expect(await load()).toEqual(expected),
  );

@Controller()
class EchoController {
  @GrpcMethod('Echo', 'Say')
  say({ text }: { text: string }) {
    return { text, servedBy: 'footprint' };
  }
}

describe('what one process costs etcd', () => {
  it('is one lease and one watch stream, whatever it registers and watches, and nothing once it is closed', async () => {
    @Module({
      imports: [
        EtcdDiscoveryModule.forRoot({
          etcd: { endpoints: etcd.endpoint },
          registration: SERVICES.map((name) => ({ name })),
          shutdown: { propagationWait: 0 },
        }),
      ],
      controllers: [EchoController],
    })
    class AppModule {}
    await settles('nothing before', { streams: 0, watchers: 0, leases: 0 });
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
      logger: false,
      transport: Transport.GRPC,
      options: { package: 'echo.v1', protoPath: echoProtoPath, url: '127.0.0.1:0' },
    });
    await app.listen();
    expect(await raw.keys('/services/')).toHaveLength(SERVICES.length);
    // One that only registers watches nothing but its own keys.
    await settles('own keys only', { streams: 1, watchers: SERVICES.length, leases: 1 });

    const registry = app.get(ServiceRegistry);
    await registry.register({ name: 'late' }).done;
    await settles('one more key', { streams: 1, watchers: SERVICES.length + 1, leases: 1 });

    const discovery = app.get(DiscoveryService);
    await discovery.startWatch(SERVICES);
    // The prefix and the plain key of each, on the same stream.
    await settles('watches beside them', { streams: 1, watchers: SERVICES.length * 3 + 1, leases: 1 });

    await app.close();
    await settles('nothing after', { streams: 0, watchers: 0, leases: 0 });
    expect(await raw.keys('/services/')).toEqual([]);
  });

  it('is no lease for one that only discovers, and one watch per service, whatever the number of users', async () => {
    const module = await Test.createTestingModule({
      imports: [EtcdDiscoveryModule.forRoot({ etcd: { endpoints: etcd.endpoint }, discovery: { plainKeys: false } })],
    }).compile();
    await module.init();
    const discovery = module.get(DiscoveryService);
    const subscriptions = SERVICES.flatMap((name) => [1, 2, 3].map(() => discovery.watchService(name).subscribe()));
    await settles('one watch per service', { streams: 1, watchers: SERVICES.length, leases: 0 });
    for (const subscription of subscriptions) subscription.unsubscribe();
    await settles('all released on unsubscribe', { streams: 0, watchers: 0, leases: 0 });
    await module.close();
  });
});
