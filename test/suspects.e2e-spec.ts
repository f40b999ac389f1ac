import { Test } from '@nestjs/testing';
import type { INestApplicationContext } from '@nestjs/common';
import { DiscoveryService, EtcdDiscoveryModule, type ServiceEvent } from 'nestjs-etcd-discovery';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestProcess, eventually } from './support/child-process.js';
import { type EchoClient, SteadyLoad, echoClient, say } from './support/echo-client.js';
import { EtcdServer } from './support/etcd-server.js';
import { FaultProxy } from './support/fault-proxy.js';
import { RawEtcd } from './support/raw-etcd.js';

const FIXTURE = 'dist/test/fixtures/lifecycle-app.js';
const SERVERS = 3;
/** Three times the TTL of the servers. */
const PAUSE_MS = 6_000;

interface Told extends ServiceEvent {
  readonly at: number;
  /** Instances of the list after it, suspects included. */
  readonly size: number;
}

let etcd: EtcdServer;
let raw: RawEtcd;
/** The servers' way to etcd; the client has its own. */
let proxy: FaultProxy;
let namespace: string;
let context: INestApplicationContext;
let discovery: DiscoveryService;
let client: EchoClient;
let told: Told[];
const processes: TestProcess[] = [];

const startServer = async (): Promise<TestProcess> => {
  const env = { APP_ETCD: proxy.endpoint, APP_NAMESPACE: namespace, APP_TTL: '2s' };
  const server = TestProcess.node(FIXTURE, ['micro'], env);
  processes.push(server);
  await server.message('listening');
  return server;
};

const idOf = (server: TestProcess): string => {
  const { registrations } = server.messages.find(({ event }) => event === 'listening') as {
    registrations: { id: string }[];
  };
  return registrations[0]!.id;
};

const follow = () => {
  const live = new Set<string>();
  told = [];
  discovery.watchService('echo').subscribe((event) => {
    if (event.type === 'removed') live.delete(event.instance.id);
    else live.add(event.instance.id);
    told.push({ ...event, at: performance.now(), size: live.size });
  });
};

const story = () => told.map(({ type, instance, reason }) => [type, instance.id, reason].filter(Boolean).join(' '));

/** The state of the connection to an instance and since when, as the client's balancer has it. */
const connectionTo = (id: string) =>
  discovery.describe('echo').clients[0]?.instances.find(({ instance }) => instance.id === id);

const suspects = () => told.filter(({ reason }) => reason === 'suspect').map(({ instance }) => instance.id);

/**
 * Every key has expired by the time etcd goes on, and the servers reach it later than the client, which therefore sees
 * the service without any key.
 */
const expireAll = async (meanwhile: () => void = () => {}): Promise<void> => {
  etcd.pause();
  proxy.cut();
  meanwhile();
  await delay(PAUSE_MS);
  etcd.resume();
  await eventually(
    'the client sees that keys are gone',
    () => suspects().length > 0,
    15_000,
    () => story().join(', '),
  );
};

beforeEach(async () => {
  etcd = await EtcdServer.start();
  raw = new RawEtcd(etcd.endpoint);
  proxy = await FaultProxy.start(etcd.endpoint);
  namespace = `/e2e-${randomUUID()}`;
  const module = await Test.createTestingModule({
    imports: [EtcdDiscoveryModule.forRoot({ namespace, etcd: { endpoints: etcd.endpoint } })],
  }).compile();
  context = await module.init();
  discovery = context.get(DiscoveryService);
  follow();
  await Promise.all(Array.from({ length: SERVERS }, startServer));
  client = echoClient('etcd:///echo');
  await eventually('all are connected', async () => {
    await say(client, 'first').catch(() => undefined);
    const { instances = [] } = discovery.describe('echo').clients[0] ?? {};
    return instances.filter(({ state }) => state === 'ready').length === SERVERS;
  });
});

afterEach(async () => {
  client.close();
  await context.close();
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
  raw.close();
  await proxy.stop();
  await etcd.stop();
});

describe('an etcd that was paused for longer than the TTL', () => {
  it('deletes every key, and no call fails, no service empties, and all are back', async () => {
    const load = new SteadyLoad((text) => say(client, text, 5, 1_000), 200);
    await expireAll();
    expect(await raw.keys(`${namespace}/`)).toEqual([]);
    expect(await discovery.getServiceList('echo')).toEqual(
      expect.arrayContaining([expect.objectContaining({ suspect: true })]),
    );
    // Only those that are registered count for somebody who waits.
    await expect(discovery.waitForService('echo', { timeoutMs: 1 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    proxy.pass();
    const all = await discovery.waitForService('echo', { minInstances: SERVERS, timeoutMs: 20_000 });
    expect(all).toHaveLength(SERVERS);
    await delay(500);
    const { calls, failures, perInstance } = await load.stop();
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(1_000);
    expect(perInstance.size).toBe(SERVERS);
    expect(Math.min(...told.slice(SERVERS).map(({ size }) => size)) * 2).toBeGreaterThanOrEqual(SERVERS);
    expect(told.some(({ reason }) => reason === 'recovered')).toBe(true);
    expect(await discovery.getServiceList('echo')).toEqual(all);
    // A flag that comes and goes costs no connection.
    for (const { id } of all) expect(connectionTo(id)).toMatchObject({ state: 'ready' });
  });

  it('keeps nobody who is dead: they leave when their connection fails, before etcd and after', async () => {
    const [first, ...others] = processes as [TestProcess, ...TestProcess[]];
    let killedAt = 0;
    await expireAll(() => {
      first.signal('SIGKILL');
      killedAt = performance.now();
    });
    const removal = (server: TestProcess) =>
      told.find(({ type, instance }) => type === 'removed' && instance.id === idOf(server));
    const gone = (server: TestProcess) =>
      eventually(
        'it is dropped',
        () => removal(server),
        2_500,
        () => story().join(', '),
      );
    // Known to be dead long before its key was gone: then it leaves with the key.
    const firstGone = await gone(first);
    const vanished = told.find(({ reason }) => reason !== undefined)!;
    expect(firstGone.at - vanished.at).toBeLessThan(2_000);
    expect(firstGone.at).toBeGreaterThan(killedAt);
    // The others are suspects that serve, until they die too.
    const bounds: number[] = [];
    for (const server of others) {
      await say(client, 'served by a suspect');
      expect(removal(server)).toBeUndefined();
      server.signal('SIGKILL');
      const at = performance.now();
      bounds.push((await gone(server)).at - at);
    }
    for (const ms of bounds) expect(ms).toBeLessThan(2_000);
    expect(await discovery.getServiceList('echo')).toEqual([]);
  });
});
