/** `getService`: one live instance. Run it: `npm run build && node dist/examples/get-service.js` */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryError, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { exampleEtcd, startGreeter } from './support.js';

@Injectable()
class GreeterFinder {
  constructor(private readonly discovery: DiscoveryService) {}

  async find(): Promise<string> {
    const instance = await this.discovery.getService('greeter');
    return `${instance.service} is at ${instance.address}, zone ${instance.zone}, weight ${instance.weight}`;
  }

  async findNobody(): Promise<string> {
    try {
      return (await this.discovery.getService('nobody')).address;
    } catch (error) {
      if (error instanceof EtcdDiscoveryError && error.code === 'SERVICE_UNAVAILABLE') return error.message;
      throw error;
    }
  }
}

const etcd = await exampleEtcd();
const greeter = await startGreeter(etcd);

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [GreeterFinder] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const finder = app.get(GreeterFinder);
console.log(await finder.find());
console.log(await finder.findNobody());

await app.close();
await greeter.close();
await etcd.stop();
