/** `watchService`: who comes and who goes. Run it: `npm run build && node dist/examples/watch-service.js` */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryModule, type ServiceEvent } from 'nestjs-etcd-discovery';
import { firstValueFrom, map, type Observable, take, tap, toArray } from 'rxjs';
import { exampleEtcd, startGreeter } from './support.js';

@Injectable()
class GreeterWatch {
  constructor(private readonly discovery: DiscoveryService) {}

  lines(): Observable<string> {
    return this.discovery.watchService('greeter').pipe(map((event) => this.line(event)));
  }

  private line({ type, instance, reason }: ServiceEvent): string {
    return `${type} zone ${instance.zone}${reason ? ` (${reason})` : ''}`;
  }
}

const etcd = await exampleEtcd();
const first = await startGreeter(etcd, 'a');

@Module({ imports: [EtcdDiscoveryModule.forRoot(etcd.options)], providers: [GreeterWatch] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const lines = app.get(GreeterWatch).lines();

// The stream begins with who is there already; `take` unsubscribes, which ends the watch.
const seen = firstValueFrom(
  lines.pipe(
    tap((line) => console.log(line)),
    take(3),
    toArray(),
  ),
);
await firstValueFrom(lines);
const second = await startGreeter(etcd, 'b');
await first.close();
console.log(`${(await seen).length} events`);

await app.close();
await second.close();
await etcd.stop();
