/** `startWatch`, `getCachedService`. Run it: `npm run build && node dist/examples/cached-service.js` */
import 'reflect-metadata';
import { Injectable, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { exampleEtcd, startGreeter } from './support.js';

@Injectable()
class GreeterCache implements OnApplicationBootstrap {
  constructor(private readonly discovery: DiscoveryService) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.discovery.startWatch(['greeter']);
  }

  /** No request and no promise: fit for a hot path. */
  next(): string {
    return this.discovery.getCachedService('greeter')?.zone ?? 'nowhere';
  }

  notWatched(): unknown {
    return this.discovery.getCachedService('somebody-else');
  }
}

const etcd = await exampleEtcd();
const greeters = await Promise.all(['a', 'b'].map((zone) => startGreeter(etcd, zone)));

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [GreeterCache] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const cache = app.get(GreeterCache);
const zones = new Set(Array.from({ length: 1_000 }, () => cache.next()));
console.log(`1000 lookups found zones ${[...zones].sort().join(', ')}`);
console.log(`a service that is not watched: ${String(cache.notWatched())}`);

await app.close();
await Promise.all(greeters.map((greeter) => greeter.close()));
await etcd.stop();
