/**
 * Many small Nest applications in one process, each with a module, a server, a connection to etcd and a lease of its
 * own (APPS_COUNT, APPS_ETCD, APPS_NAMESPACE, APPS_TTL). Tells its parent when all are registered, and on `states` how
 * many are.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { EtcdDiscoveryModule, ServiceRegistry } from 'nestjs-etcd-discovery';

const { APPS_COUNT, APPS_ETCD = '', APPS_NAMESPACE, APPS_TTL } = process.env;

const start = async (): Promise<ServiceRegistry> => {
  @Module({
    imports: [
      EtcdDiscoveryModule.forRoot({
        namespace: APPS_NAMESPACE,
        etcd: { endpoints: APPS_ETCD },
        registration: { name: 'crowd', transport: 'tcp', ttl: APPS_TTL },
      }),
    ],
  })
  class AppModule {}
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    logger: false,
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
  });
  // Resolves once it is registered.
  await app.listen();
  return app.get(ServiceRegistry);
};

const registries: ServiceRegistry[] = [];
for (let i = 0; i < Number(APPS_COUNT); i++) registries.push(await start());

const tell = (event: string) => {
  const registered = registries.filter(({ registrations }) => registrations[0]?.state === 'registered').length;
  process.send?.({ event, registered });
};
process.on('message', (message) => message === 'states' && tell('states'));
tell('started');
