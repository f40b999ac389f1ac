/**
 * The reading side of the benchmark `converge`: `node converge-clients.js <cache|pickers>`, steered by its parent.
 * `cache`: one application that keeps a service in its cache, and beside it a watch through the driver alone.
 * `pickers`: many applications, each with its own connection to etcd, its own catalog and its own gRPC channel.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DiscoveryService, EtcdDiscoveryModule, getDiscoveryServiceToken } from 'nestjs-etcd-discovery';
import { setTimeout as delay } from 'node:timers/promises';
import { Echo, type EchoClient, echoClient, say } from '../test/support/echo-client.js';
import { RawEtcd } from '../test/support/raw-etcd.js';
import { monotonicMs } from './support/monotonic.js';

const { APP_ETCD = '', APP_NAMESPACE = '', APP_SERVICE = '', APP_RAW_PREFIX = '', APP_CLIENTS = '1' } = process.env;
const tell = (event: string, detail: object = {}) => process.send?.({ event, ...detail });
/** How often is looked whether an instance is ready; since when it is, the library says itself, to the millisecond. */
const LOOK_MS = 20;

const namespace = APP_NAMESPACE;
const etcd = { endpoints: APP_ETCD };

const cache = async (): Promise<void> => {
  @Module({ imports: [EtcdDiscoveryModule.forRoot({ namespace, etcd })] })
  class CacheModule {}
  const app = await NestFactory.createApplicationContext(CacheModule, { logger: ['warn', 'error'] });
  const discovery = app.get(DiscoveryService);
  await discovery.startWatch([APP_SERVICE]);
  discovery.watchService(APP_SERVICE).subscribe(({ type, instance }) => {
    const at = monotonicMs();
    if (type === 'added') tell(`cached-${instance.id}`, { at });
  });
  await new RawEtcd(APP_ETCD).watch(APP_RAW_PREFIX, (type, key) => {
    const at = monotonicMs();
    if (type === 'put') tell(`raw-${key.slice(key.lastIndexOf('/') + 1)}`, { at });
  });
};

interface Client {
  readonly discovery: DiscoveryService;
  readonly channel: EchoClient;
}

/** When the client's balancer had the connection to the instance ready, on the machine's monotonic clock. */
const readyAt = ({ discovery }: Client, id: string): number | undefined => {
  const seen = discovery.describe(APP_SERVICE).clients.flatMap(({ instances }) => instances);
  const ready = seen.find(({ instance, state }) => instance.id === id && state === 'ready');
  return ready && monotonicMs() - (Date.now() - ready.since.getTime());
};

/** When each client had the instance ready, and how many then did not get a call there within one round of it. */
const watchFor = async (clients: readonly Client[], id: string, known: number): Promise<object> => {
  const at: number[] = [];
  const waiting = new Set(clients);
  for (const until = monotonicMs() + 10_000; waiting.size > 0 && monotonicMs() < until; await delay(LOOK_MS)) {
    for (const client of waiting) {
      const moment = readyAt(client, id);
      if (moment === undefined) continue;
      at.push(moment);
      waiting.delete(client);
    }
  }
  let misled = 0;
  for (const client of clients) {
    // Round robin over everything known: one of so many calls has to land there, or "ready" was not true.
    const answers = await Promise.all(Array.from({ length: known + 1 }, () => say(client.channel, 'x')));
    if (!answers.some(({ servedBy }) => servedBy === id)) misled++;
  }
  return { at, misled, missing: waiting.size };
};

/** The same crowd without discovery: when plain channels to a known address were ready, all of them begun at once. */
const connectTo = async (address: string, channels: number): Promise<object> => {
  const connected = Array.from({ length: channels }, async () => {
    const channel = echoClient(address, { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_http_proxy': 0 });
    await new Promise<void>((resolve, reject) =>
      channel.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve())),
    );
    return { channel, at: monotonicMs() };
  });
  const ready = await Promise.all(connected);
  for (const { channel } of ready) channel.close();
  return { at: ready.map(({ at }) => at) };
};

interface Turn {
  readonly turn: number;
  readonly id: string;
  /** Instances there were before. */
  readonly known: number;
  /** Instead of looking for an instance: where to connect to. */
  readonly address?: string;
}

const pickers = async (): Promise<void> => {
  const names = Array.from({ length: Number(APP_CLIENTS) }, (_, index) => `client-${process.pid}-${index}`);
  @Module({
    imports: names.map((name) =>
      EtcdDiscoveryModule.forRoot({ name, namespace, etcd, client: { loadBalancing: 'round_robin' } }),
    ),
  })
  class PickersModule {}
  const app = await NestFactory.createApplicationContext(PickersModule, { logger: ['warn', 'error'] });
  const clients: Client[] = [];
  for (const name of names) {
    const discovery = app.get<DiscoveryService>(getDiscoveryServiceToken(name), { strict: false });
    // Channels of one process share connections to the same address, which clients on 100 machines would not.
    const channelOptions = { 'grpc.use_local_subchannel_pool': 1 };
    clients.push({ discovery, channel: await discovery.dialService(APP_SERVICE, Echo, { channelOptions }) });
  }
  process.on('message', ({ turn, id, known, address }: Turn) => {
    const done = address === undefined ? watchFor(clients, id, known) : connectTo(address, clients.length);
    void done.then((result) => tell(`ready-${turn}`, result));
    tell(`looking-${turn}`);
  });
};

process.on('disconnect', () => process.exit());
await (process.argv[2] === 'cache' ? cache() : pickers());
tell('started');
