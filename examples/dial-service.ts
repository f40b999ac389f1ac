/** `dialService`: a connected grpc-js client. Run it: `npm run build && node dist/examples/dial-service.js` */
import 'reflect-metadata';
import { type ChannelCredentials, type Client, type ServiceError, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { exampleEtcd, greeterProto, startGreeter } from './support.js';

interface GreeterClient extends Client {
  sayHello(
    request: { name: string },
    options: { deadline: number },
    callback: (error: ServiceError | null, reply: { text: string }) => void,
  ): void;
}

// A class that protoc generated fits as well.
const { greeter } = loadPackageDefinition(loadSync(greeterProto.protoPath)) as unknown as {
  greeter: { v1: { Greeter: new (target: string, credentials: ChannelCredentials) => GreeterClient } };
};

@Injectable()
class Caller {
  constructor(private readonly discovery: DiscoveryService) {}

  async greet(name: string): Promise<string> {
    const client = await this.discovery.dialService('greeter', greeter.v1.Greeter, { timeoutMs: 5_000 });
    try {
      return await new Promise<string>((resolve, reject) => {
        const options = { deadline: Date.now() + 1_000 };
        client.sayHello({ name }, options, (error, reply) => (error ? reject(error) : resolve(reply.text)));
      });
    } finally {
      client.close();
    }
  }
}

const etcd = await exampleEtcd();
const instance = await startGreeter(etcd);

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [Caller] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
console.log(await app.get(Caller).greet('Ada'));

await app.close();
await instance.close();
await etcd.stop();
