import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { EtcdDiscoveryModule, ServiceRegistry, definePicker } from 'nestjs-etcd-discovery';
import { config } from 'rxjs';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/child-process.js';
import { echoClient, say } from '../../support/echo-client.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { EtcdWatchRecord } from '../support/etcd-watch-record.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, Following, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';

@Controller()
class Handler {
  @MessagePattern('ping')
  ping(): string {
    return 'pong';
  }
}

/** Faults of the code that uses the library: callbacks that throw or sleep, and a hand on the switch. */
export const callbackRows: readonly FaultRow[] = [
  {
    id: '49',
    title: '100 quick registrations and deregistrations: the last call wins, one lease, none left',
    takes: 'seconds',
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      const record = row.defer(await EtcdWatchRecord.start(etcd.endpoint, `${row.namespace}/`), (r) => r.stop());
      @Module({
        imports: [
          EtcdDiscoveryModule.forRoot({
            namespace: row.namespace,
            name: row.name,
            etcd: { endpoints: etcd.endpoint },
            shutdown: { propagationWait: 0, drainTimeout: '200ms' },
          }),
        ],
        controllers: [Handler],
      })
      class Application {}
      const app = row.defer(
        await NestFactory.createMicroservice<MicroserviceOptions>(Application, {
          transport: Transport.TCP,
          options: { host: '127.0.0.1', port: 0 },
          logger: false,
        }),
        (application) => application.close(),
      );
      await app.listen();
      const registry = app.get(ServiceRegistry);
      const registration = { name: 'toggled', transport: 'tcp', id: 'switch' } as const;
      const key = async () => (await raw.keys(`${row.namespace}/toggled/`)).map(({ value }) => value.status);
      for (let toggle = 0; toggle < 100; toggle++) {
        const { done } = registry.register(registration);
        // A registration that is taken back rejects; that is what is being done here.
        done.catch(() => {});
        // Now and then it gets as far as etcd.
        if (toggle % 10 === 0) await done;
        const left = registry.deregister('switch');
        if (toggle % 7 === 0) await left;
      }
      await registry.deregister();
      row.figure('keys after a last deregister', (await key()).length, '', { atMost: 0 });
      await registry.register(registration).done;
      row.figure('keys after a last register', (await key()).length, '', { atMost: 1, atLeast: 1 });
      // What was still under way would undo it now.
      await delay(1_000);
      row.figure('a second later, up', (await key()).filter((status) => status === 'up').length, '', {
        atLeast: 1,
        atMost: 1,
      });
      row.figure('puts seen', record.events.filter(({ type }) => type === 'put').length, '', { atLeast: 10 });
      row.figure('leases', (await raw.leases()).length, '', { atLeast: 1, atMost: 1 });
      await app.close();
      row.figure('leases after close', (await raw.leases()).length, '', { atMost: 0 });
      row.figure('keys after close', (await key()).length, '', { atMost: 0 });
    },
  },
  {
    id: '59',
    title: "a user's callback throws or sleeps: nobody else notices, and the process goes on",
    takes: 'seconds',
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      let thrown = 0;
      const before = config.onUnhandledError;
      // rxjs hands what a subscriber throws to this hook, or ends the process; the library must not depend on which.
      config.onUnhandledError = () => void thrown++;
      row.defer(before, (handler) => (config.onUnhandledError = handler));
      fleet.discovery.watchService('echo').subscribe(() => {
        throw new Error('a subscriber that throws');
      });
      fleet.discovery.watchService('echo').subscribe(async () => {
        await delay(5_000, undefined, { ref: false });
      });
      const healthy = new Following(fleet.discovery, 'echo');
      const other = await TestApplication.start(row, { etcd: { endpoints: etcd.endpoint } });
      const reference = new Following(other.discovery, 'echo');
      const load = fleet.load();
      const [server] = fleet.servers;
      await eventually('both have the list', () => healthy.size === 3 && reference.size === 3);
      server!.signal('SIGTERM');
      await server!.exit();
      await fleet.addServer();
      await eventually('both have the new one', () => healthy.told.length >= 5 && reference.told.length >= 5, 5_000);
      row.figure('events told beside it', healthy.told.length, '', { atLeast: reference.told.length });
      row.figure('thrown', thrown, '', { atLeast: 5 });

      // A picker of the user's own, which throws on every pick.
      const policy = `throwing_${row.name.replaceAll('-', '_')}`;
      definePicker(policy, () => ({
        update() {},
        pick() {
          throw new Error('a picker that throws');
        },
      }));
      const throwing = await TestApplication.start(row, {
        etcd: { endpoints: etcd.endpoint },
        services: { echo: { loadBalancing: { policy } } },
      });
      const stub = row.defer(echoClient(`etcd://${throwing.connection}/echo`), (client) => client.close());
      // Its call is served all the same, by any instance.
      const served = await Promise.all(Array.from({ length: 20 }, () => say(stub, 'x', 0, 3_000)));
      row.figure('served in spite of a picker that throws', served.length, '', { atLeast: 20 });
      const { calls, failures } = await load.stop();
      row.figure('calls of others', calls, '', { atLeast: 100 });
      row.figure('failed', failures.length, '', { atMost: 0 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
];
