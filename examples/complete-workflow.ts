/** Wait, call, scale out, scale in. Run it: `npm run build && node dist/examples/complete-workflow.js` */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { ClientGrpc } from '@nestjs/microservices';
import { DiscoveryService, EtcdDiscoveryModule, InjectGrpcClient } from 'nestjs-etcd-discovery';
import { type Observable, firstValueFrom } from 'rxjs';
import { exampleEtcd, greeterProto, startGreeter } from './support.js';

interface Greeter {
  sayHello(request: { name: string }): Observable<{ text: string; zone: string }>;
}

@Injectable()
class Workflow {
  constructor(
    private readonly discovery: DiscoveryService,
    @InjectGrpcClient('greeter') private readonly client: ClientGrpc,
  ) {}

  async ready(minInstances: number): Promise<void> {
    await this.discovery.waitForService('greeter', { minInstances, timeoutMs: 30_000 });
  }

  /** Which zones answer the next calls; each call goes to a live instance, and none may fail. */
  async zonesThatAnswer(calls: number): Promise<string> {
    const greeter = this.client.getService<Greeter>('Greeter');
    const zones = new Set<string>();
    for (let call = 0; call < calls; call++) zones.add((await firstValueFrom(greeter.sayHello({ name: 'Ada' }))).zone);
    return [...zones].sort().join(', ');
  }
}

const etcd = await exampleEtcd();
const first = await startGreeter(etcd, 'a');

@Module({
  imports: [
    EtcdDiscoveryModule.forRoot(etcd.options),
    EtcdDiscoveryModule.forFeature([{ service: 'greeter', ...greeterProto }]),
  ],
  providers: [Workflow],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
const workflow = app.get(Workflow);
await workflow.ready(1);
console.log(`one instance: zone ${await workflow.zonesThatAnswer(10)} answers`);

const second = await startGreeter(etcd, 'b');
await workflow.ready(2);
console.log(`a second one joined: zones ${await workflow.zonesThatAnswer(500)} answer`);

await first.close();
console.log(`the first one left: zone ${await workflow.zonesThatAnswer(100)} answers`);

await app.close();
await second.close();
await etcd.stop();
