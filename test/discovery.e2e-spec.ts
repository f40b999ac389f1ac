import type { INestApplicationContext } from '@nestjs/common';
import { Controller, Injectable, Module } from '@nestjs/common';
import { ClientsModule, type ClientGrpc, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  DiscoveryService,
  type EtcdDiscoveryOptions,
  EtcdDiscoveryModule,
  InjectGrpcClient,
  type ServiceEvent,
  getGrpcClientToken,
} from 'nestjs-etcd-discovery';
import { randomUUID } from 'node:crypto';
import { type Observable, firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { TestProcess, eventually } from './support/child-process.js';
import { Echo, type EchoClient, type EchoReply, echoClient, echoProtoPath, say } from './support/echo-client.js';
import { RawEtcd } from './support/raw-etcd.js';

const FIXTURE = 'dist/test/fixtures/lifecycle-app.js';
const etcdEndpoint = inject('etcdEndpoint');

interface EchoService {
  say(request: { text: string; delayMs?: number }): Observable<EchoReply>;
}

let namespace: string;
const processes: TestProcess[] = [];
const contexts: INestApplicationContext[] = [];
const clients: EchoClient[] = [];

const startServer = async (env: NodeJS.ProcessEnv = {}): Promise<TestProcess> => {
  const server = TestProcess.node(FIXTURE, ['micro'], { APP_ETCD: etcdEndpoint, APP_NAMESPACE: namespace, ...env });
  processes.push(server);
  await server.message('listening');
  return server;
};

const openClient = async (options: Partial<EtcdDiscoveryOptions> = {}, imports: object[] = []) => {
  const module = await Test.createTestingModule({
    imports: [
      EtcdDiscoveryModule.forRoot({ namespace, etcd: { endpoints: etcdEndpoint }, ...options }),
      ...(imports as never[]),
    ],
  }).compile();
  const context = await module.init();
  contexts.push(context);
  return context;
};

const plainClient = (target: string): EchoClient => {
  const client = echoClient(target);
  clients.push(client);
  return client;
};

const spread = async (client: EchoClient, calls: number, concurrency: number, delayMs = 0): Promise<number[]> => {
  const count = new Map<string, number>();
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next++ < calls) {
        const { servedBy } = await say(client, 'x', delayMs);
        count.set(servedBy, (count.get(servedBy) ?? 0) + 1);
      }
    }),
  );
  return [...count.values()].toSorted((a, b) => a - b);
};

beforeEach(() => {
  namespace = `/e2e-${randomUUID()}`;
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const context of contexts.splice(0)) await context.close();
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
});

describe('three servers', () => {
  it('share the calls of two round_robin clients exactly, and of the default policy within 15 % of a third', async () => {
    await Promise.all([startServer(), startServer(), startServer()]);
    for (const name of ['one', 'two']) {
      const discovery = (await openClient({ name, client: { loadBalancing: 'round_robin' } })).get(DiscoveryService);
      const client = await discovery.dialService('echo', Echo);
      clients.push(client);
      // Ready means one instance answers; exactness is a promise for a stable set.
      await eventually('all three are connected', async () => (await spread(client, 30, 1)).length === 3);
      const [least, , most] = await spread(client, 1_500, 1);
      expect(most! - least!).toBeLessThanOrEqual(1);
    }
    const discovery = (await openClient({ name: 'default-policy' })).get(DiscoveryService);
    const client = await discovery.dialService('echo', Echo);
    clients.push(client);
    await eventually('all three are connected', async () => (await spread(client, 30, 1)).length === 3);
    // Handlers that take 10 ms: without them the policy would follow, as it should, which process the machine favours.
    const shares = await spread(client, 3_000, 8, 10);
    expect(shares).toHaveLength(3);
    for (const share of shares) expect(Math.abs(share - 1_000)).toBeLessThanOrEqual(150);
    // A stream is no work: the instance that holds one gets calls all the same.
    const stream = client.stream({ text: 'open' });
    await new Promise((resolve) => stream.once('data', resolve));
    stream.resume();
    stream.on('error', () => undefined);
    await eventually('the stream is no call any more', async () => (await spread(client, 30, 1)).length === 3, 10_000);
    stream.cancel();
  });
});

describe('a service that is called', () => {
  it('is described, and changes its policy without a reconnect', async () => {
    await Promise.all([startServer(), startServer()]);
    const discovery = (await openClient({ client: { loadBalancing: 'random' } })).get(DiscoveryService);
    const client = await discovery.dialService('echo', Echo);
    clients.push(client);
    await spread(client, 20, 2);
    const [before] = discovery.describe('echo').clients;
    expect(before).toMatchObject({ policy: { policy: 'random' }, state: 'ready' });
    expect(before!.instances).toHaveLength(2);
    expect(before!.instances.reduce((sum, { picks }) => sum + picks, 0)).toBe(20);
    discovery.setLoadBalancing('echo', 'round_robin');
    const [least, most] = await spread(client, 100, 1);
    expect([least, most]).toEqual([50, 50]);
    expect(() => discovery.setLoadBalancing('echo', 'best_effort')).toThrow(/best_effort/);
  });
});

describe('a client that starts before its server', () => {
  it('finds it when it comes', async () => {
    const discovery = (await openClient()).get(DiscoveryService);
    const waiting = discovery.waitForService('echo', { timeoutMs: 20_000 });
    const client = plainClient('etcd:///echo');
    await expect(say(client, 'too early')).rejects.toThrow(/echo/);
    await startServer();
    const [instance] = await waiting;
    expect(instance).toMatchObject({ service: 'echo', status: 'up', suspect: false, format: 'native', weight: 10 });
    const reply = await eventually('a call succeeds', () => say(client, 'now').catch(() => undefined), 5_000);
    expect(reply.text).toBe('now');
  });
});

describe('a service that does not exist', () => {
  it('is said so by every way to ask for it', async () => {
    const discovery = (await openClient({ discovery: { resolveTimeout: '1s' } })).get(DiscoveryService);
    await expect(discovery.getService('nobody')).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: expect.stringContaining('nobody'),
    });
    expect(await discovery.getServiceList('nobody')).toEqual([]);
    await expect(discovery.waitForService('nobody', { timeoutMs: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await expect(discovery.dialService('nobody', Echo, { timeoutMs: 500 })).rejects.toThrow(/nobody/);
    expect(discovery.getCachedService('nobody-at-all')).toBeUndefined();
    await expect(discovery.getService('../x')).rejects.toMatchObject({ code: 'INVALID_NAME' });
  });
});

describe('every way to call', () => {
  it('reaches the service: forFeature, stock ClientsModule, dialService, plain grpc-js', async () => {
    await startServer();
    @Injectable()
    class Caller {
      constructor(@InjectGrpcClient('echo') readonly feature: ClientGrpc) {}
    }
    @Controller()
    class Nothing {}
    @Module({
      imports: [
        EtcdDiscoveryModule.forFeature([{ service: 'echo', package: 'echo.v1', protoPath: echoProtoPath }]),
        ClientsModule.register([
          {
            name: 'STOCK',
            transport: Transport.GRPC,
            options: { url: 'etcd:///echo', package: 'echo.v1', protoPath: echoProtoPath },
          },
        ]),
      ],
      controllers: [Nothing],
      providers: [Caller],
    })
    class CallerModule {}

    const context = await openClient({}, [CallerModule]);
    const viaNest = (client: ClientGrpc) =>
      firstValueFrom(client.getService<EchoService>('Echo').say({ text: 'hello' })).then(({ text }) => text);
    expect(context.get(Caller, { strict: false }).feature).toBe(
      context.get(getGrpcClientToken('echo'), { strict: false }),
    );
    expect(await viaNest(context.get(Caller, { strict: false }).feature)).toBe('hello');
    expect(await viaNest(context.get<ClientGrpc>('STOCK', { strict: false }))).toBe('hello');
    const dialled = await context.get(DiscoveryService).dialService('echo', Echo);
    clients.push(dialled);
    expect((await say(dialled, 'hello')).text).toBe('hello');
    expect((await say(plainClient('etcd:///echo'), 'hello')).text).toBe('hello');
  });
});

describe('the read path over real processes', () => {
  it('tells who came, who drained and who expired, and caches without I/O', async () => {
    const raw = new RawEtcd(etcdEndpoint);
    const discovery = (await openClient()).get(DiscoveryService);
    const events: ServiceEvent[] = [];
    const subscription = discovery.watchService('echo').subscribe((event) => events.push(event));
    expect(discovery.getCachedService('never-watched')).toBeUndefined();

    const leaving = await startServer({ APP_TTL: '2s' });
    const dying = await startServer({ APP_TTL: '2s' });
    await eventually('both are seen', () => events.filter(({ type }) => type === 'added').length === 2);
    expect(discovery.getCachedService('echo')?.service).toBe('echo');
    expect(Object.keys(await discovery.getAllServices())).toEqual(['echo']);
    expect(await discovery.getServiceList('echo')).toHaveLength(2);

    leaving.signal('SIGTERM');
    await leaving.exit();
    await eventually('the drain is seen', () => events.some(({ reason }) => reason === 'drained'));
    dying.signal('SIGKILL');
    await eventually('the crash is seen', () =>
      events.some(({ reason }) => reason === 'expired' || reason === 'suspect'),
    );
    subscription.unsubscribe();
    raw.close();
  });
});
