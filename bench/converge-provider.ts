/**
 * The writing side of the benchmark `converge`, steered by its parent. It registers and takes back instances through the
 * library, puts and deletes keys through the driver alone, and serves gRPC on as many ports as there are instances.
 */
import 'reflect-metadata';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { EtcdDiscoveryModule, ServiceRegistry } from 'nestjs-etcd-discovery';
import { Echo, echoProtoPath } from '../test/support/echo-client.js';
import { RawEtcd } from '../test/support/raw-etcd.js';
import { monotonicMs } from './support/monotonic.js';

const { APP_ETCD = '', APP_NAMESPACE = '' } = process.env;

@Module({ imports: [EtcdDiscoveryModule.forRoot({ namespace: APP_NAMESPACE, etcd: { endpoints: APP_ETCD } })] })
class ProviderModule {}

const app = await NestFactory.createMicroservice<MicroserviceOptions>(ProviderModule, {
  logger: ['warn', 'error'],
  transport: Transport.GRPC,
  options: { package: 'echo.v1', protoPath: echoProtoPath, url: '127.0.0.1:0' },
});
await app.listen();
const registry = app.get(ServiceRegistry);
const raw = new RawEtcd(APP_ETCD);
const servers = new Map<string, Server>();

const serve = async (id: string): Promise<number> => {
  const server = new Server();
  server.addService((Echo as unknown as { service: ServiceDefinition }).service, {
    Say: ({ request }: ServerUnaryCall<{ text: string }, object>, done: sendUnaryData<object>) =>
      done(null, { text: request.text, servedBy: id }),
  });
  servers.set(id, server);
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
};

interface Command {
  readonly command: 'register' | 'deregister' | 'serve' | 'put' | 'delete';
  /** Comes back with the answer. */
  readonly turn: number;
  readonly service: string;
  readonly id: string;
  readonly port: number;
  readonly key: string;
  readonly value: string;
}

const commands: Record<Command['command'], (command: Command) => Promise<object>> = {
  async serve({ id }) {
    return { port: await serve(id) };
  },
  async register({ service, id, port }) {
    const startedAt = monotonicMs();
    await registry.register({ name: service, id, advertise: `127.0.0.1:${port}` }).done;
    return { startedAt, doneAt: monotonicMs() };
  },
  async deregister({ id }) {
    await registry.deregister(id);
    servers.get(id)?.forceShutdown();
    servers.delete(id);
    return {};
  },
  async put({ key, value }) {
    const startedAt = monotonicMs();
    await raw.put(key, value);
    return { startedAt, doneAt: monotonicMs() };
  },
  async delete({ key }) {
    await raw.delete(key);
    return {};
  },
};

process.on('message', (command: Command) => {
  void commands[command.command](command).then(
    (answer) => process.send?.({ event: `done-${command.turn}`, ...answer }),
    (error: unknown) => process.send?.({ event: `done-${command.turn}`, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.({ event: 'started' });
