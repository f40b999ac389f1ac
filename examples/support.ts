/** What every example needs and none is about: an etcd, and a tiny service to be found in it. */
import 'reflect-metadata';
import { Controller, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { EtcdDiscoveryModule, type EtcdDiscoveryOptions } from 'nestjs-etcd-discovery';
import { EmbeddedEtcd } from 'nestjs-etcd-discovery/testing';
import { resolve } from 'node:path';

/** Package and file of the example service; the examples run in the repository's root. */
export const greeterProto = { package: 'greeter.v1', protoPath: resolve('examples/greeter.proto') };

export interface ExampleEtcd {
  /** What goes into `EtcdDiscoveryModule.forRoot`. The namespace is this run's own. */
  readonly options: EtcdDiscoveryOptions;
  stop(): Promise<void>;
}

/** The etcd at ETCD_ENDPOINTS, else one inside this process. */
export async function exampleEtcd(): Promise<ExampleEtcd> {
  const embedded = process.env.ETCD_ENDPOINTS ? undefined : await EmbeddedEtcd.start();
  const endpoints = embedded?.endpoint ?? process.env.ETCD_ENDPOINTS ?? '';
  console.log(`etcd: ${embedded ? 'embedded' : endpoints}`);
  return {
    options: {
      namespace: `/examples-${process.pid}`,
      etcd: { endpoints },
      // Nobody's calls are in flight when an example ends.
      shutdown: { propagationWait: '100ms' },
    },
    stop: async () => embedded?.close(),
  };
}

@Controller()
class GreeterController {
  constructor(@Inject('ZONE') private readonly zone: string) {}

  @GrpcMethod('Greeter', 'SayHello')
  sayHello({ name }: { name: string }) {
    return { text: `Hello, ${name}!`, zone: this.zone };
  }
}

/** One instance of the service `greeter`, on a free port, registered when this resolves. `close` takes it out again. */
export async function startGreeter(etcd: ExampleEtcd, zone = 'a'): Promise<{ close(): Promise<void> }> {
  @Module({
    imports: [EtcdDiscoveryModule.forRoot({ ...etcd.options, registration: { name: 'greeter', zone } })],
    controllers: [GreeterController],
    providers: [{ provide: 'ZONE', useValue: zone }],
  })
  class GreeterModule {}

  const app = await NestFactory.createMicroservice<MicroserviceOptions>(GreeterModule, {
    transport: Transport.GRPC,
    options: { ...greeterProto, url: '127.0.0.1:0' },
    logger: ['warn', 'error'],
  });
  await app.listen();
  return { close: () => app.close() };
}
