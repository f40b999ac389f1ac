/** `waitForService`: until enough are there. Run it: `npm run build && node dist/examples/wait-for-service.js` */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, DiscoveryTimeoutError, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { exampleEtcd, startGreeter } from './support.js';

@Injectable()
class Prerequisites {
  constructor(private readonly discovery: DiscoveryService) {}

  async twoGreeters(): Promise<number> {
    const instances = await this.discovery.waitForService('greeter', { minInstances: 2, timeoutMs: 30_000 });
    return instances.length;
  }

  async nobody(): Promise<string> {
    try {
      await this.discovery.waitForService('nobody', { timeoutMs: 200 });
      return 'somebody is there';
    } catch (error) {
      if (error instanceof DiscoveryTimeoutError) return `gave up: ${error.message}`;
      throw error;
    }
  }
}

const etcd = await exampleEtcd();

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [Prerequisites] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const prerequisites = app.get(Prerequisites);

// Begins to wait while there is none.
const waiting = prerequisites.twoGreeters();
const greeters = [await startGreeter(etcd, 'a'), await startGreeter(etcd, 'b')];
console.log(`${await waiting} greeters are there`);
console.log(await prerequisites.nobody());

await app.close();
await Promise.all(greeters.map((greeter) => greeter.close()));
await etcd.stop();
