/** `getServiceList`, `getAllServices`. Run it: `npm run build && node dist/examples/get-service-list.js` */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { exampleEtcd, startGreeter } from './support.js';

@Injectable()
class Inventory {
  constructor(private readonly discovery: DiscoveryService) {}

  async zonesOfGreeter(): Promise<string[]> {
    const instances = await this.discovery.getServiceList('greeter');
    return instances.map(({ zone = 'none' }) => zone).sort();
  }

  async sizes(): Promise<string[]> {
    const services = await this.discovery.getAllServices();
    return Object.entries(services).map(([name, instances]) => `${name}: ${instances.length}`);
  }
}

const etcd = await exampleEtcd();
const greeters = await Promise.all(['a', 'b', 'c'].map((zone) => startGreeter(etcd, zone)));

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [Inventory] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const inventory = app.get(Inventory);
console.log(`greeter is in zones ${(await inventory.zonesOfGreeter()).join(', ')}`);
console.log(`all services: ${(await inventory.sizes()).join(', ')}`);

await app.close();
await Promise.all(greeters.map((greeter) => greeter.close()));
await etcd.stop();
