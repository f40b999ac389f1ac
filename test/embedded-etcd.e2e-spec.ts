import { Controller } from '@nestjs/common';
import { GrpcMethod, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { EmbeddedEtcd } from 'nestjs-etcd-discovery/testing';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

// How users test their own services; the documentation quotes this file.

@Controller()
class GreeterController {
  @GrpcMethod('Greeter', 'SayHello')
  sayHello({ name }: { name: string }) {
    return { text: `Hello, ${name}!` };
  }
}

let etcd: EmbeddedEtcd;

beforeAll(async () => {
  etcd = await EmbeddedEtcd.start();
});
afterAll(() => etcd.close());

it('is back in etcd after its lease was lost, and leaves nothing behind', async () => {
  const module = await Test.createTestingModule({
    imports: [EtcdDiscoveryModule.forRoot({ etcd: { endpoints: etcd.endpoint }, registration: { name: 'greeter' } })],
    controllers: [GreeterController],
  }).compile();
  const app = module.createNestMicroservice<MicroserviceOptions>({
    transport: Transport.GRPC,
    options: { url: '127.0.0.1:0', package: 'greeter.v1', protoPath: 'examples/greeter.proto' },
  });
  await app.listen();
  const registered = etcd.keys('/services/greeter/');
  expect(registered).toHaveLength(1);

  for (const { id } of etcd.leases()) etcd.expireLease(id);
  expect(etcd.keys('/services/greeter/')).toEqual([]);
  await vi.waitFor(() => expect(etcd.keys('/services/greeter/')).toEqual(registered), { timeout: 10_000 });

  await app.close();
  expect(etcd.keys()).toEqual([]);
  expect(etcd.leases()).toEqual([]);
});
