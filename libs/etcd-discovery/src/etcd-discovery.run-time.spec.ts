import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EtcdDiscoveryOptions, EtcdDiscoveryModule, ServiceRegistry } from './index.js';
import { EmbeddedEtcd } from './testing/index.js';

let etcd: EmbeddedEtcd;
const open: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  etcd = await EmbeddedEtcd.start();
});
afterEach(async () => {
  for (const app of open.splice(0)) await app.close();
  await etcd.close();
});

const application = async (options: Partial<EtcdDiscoveryOptions> = {}) => {
  @Module({
    imports: [
      EtcdDiscoveryModule.forRoot({
        etcd: { endpoints: etcd.endpoint },
        shutdown: { propagationWait: 0 },
        ...options,
      }),
    ],
  })
  class AppModule {}
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    logger: false,
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
  });
  open.push(app);
  return { app, registry: app.get(ServiceRegistry) };
};

const stored = (service: string, id: string) =>
  JSON.parse(etcd.value(`/services/${service}/${id}`) ?? 'null') as Record<string, unknown> | null;

describe('a registration at run time', () => {
  it('comes, changes, goes and comes again, on a server that serves all the while', async () => {
    const { app, registry } = await application();
    await app.listen();
    expect(etcd.keys()).toEqual([]);

    const { id, done } = registry.register({ name: 'reports', transport: 'tcp', metadata: { kind: 'batch' } });
    await done;
    const first = stored('reports', id);
    expect(first).toMatchObject({ id, status: 'up', weight: 10, metadata: { kind: 'batch' } });

    await registry.update(id, { weight: 33, zone: 'b', version: '2.0.0', metadata: { kind: 'online' } });
    expect(stored('reports', id)).toMatchObject({
      weight: 33,
      version: '2.0.0',
      metadata: { kind: 'online', zone: 'b', weight: '33' },
      registeredAt: first?.registeredAt,
    });

    await registry.deregister(id);
    expect(etcd.keys()).toEqual([]);
    await registry.register({ name: 'reports', transport: 'tcp', id }).done;
    expect(stored('reports', id)).toMatchObject({ address: first?.address, weight: 10 });
  });

  it('may be made and changed before the server listens', async () => {
    const { app, registry } = await application();
    const { id, done } = registry.register({ name: 'early', transport: 'tcp' });
    await registry.update(id, { weight: 7 });
    expect(etcd.keys()).toEqual([]);
    await app.listen();
    await done;
    expect(stored('early', id)).toMatchObject({ weight: 7 });
  });

  it('ends with all the others where deregister() names none, and the application goes on', async () => {
    const { app, registry } = await application({ registration: { name: 'main', transport: 'tcp' } });
    await app.listen();
    await registry.register({ name: 'beside', transport: 'tcp' }).done;
    expect(etcd.keys()).toHaveLength(2);
    await registry.deregister();
    expect(etcd.keys()).toEqual([]);
    expect(registry.registrations.map(({ state }) => state)).toEqual(['stopped', 'stopped']);
  });

  it('is refused with every mistake named, and after the stop', async () => {
    const { app, registry } = await application();
    await app.listen();
    expect(() => registry.register({ name: 'a/b', ttl: '1s' })).toThrow(/name[\s\S]*ttl/);
    await expect(registry.update('nobody', { weight: 3 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
    await app.close();
    expect(() => registry.register({ name: 'late', transport: 'tcp' })).toThrow(
      expect.objectContaining({ code: 'CLOSED' }) as Error,
    );
    expect(etcd.leases()).toEqual([]);
  });
});
