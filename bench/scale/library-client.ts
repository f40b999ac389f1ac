/** An application that watches all services of SCALE_NAMESPACE in SCALE_ETCD and tells what that costs it. */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { setTimeout as delay } from 'node:timers/promises';
import { DiscoveryService, EtcdDiscoveryModule, type ServiceInstance } from '../../libs/etcd-discovery/src/index.js';
import { LoopWatch } from '../support/loop-watch.js';
import { answerQuestions } from '../support/questions.js';
import { PushCounter } from './push-counter.js';
import { RawEtcd } from './raw-etcd.js';
import { SERVICES, serviceName } from './records.js';

const { SCALE_ETCD = '', SCALE_NAMESPACE = '' } = process.env;

@Module({
  imports: [EtcdDiscoveryModule.forRoot({ namespace: SCALE_NAMESPACE, etcd: { endpoints: SCALE_ETCD } })],
})
class ClientModule {}

const app = await NestFactory.createApplicationContext(ClientModule, { logger: ['error', 'warn'] });
const discovery = app.get(DiscoveryService);
const loop = new LoopWatch();
const pushes = new PushCounter();
/** What comes after the list, as the opening of the watch and the end of a garbage collection, is the list's doing too. */
const AFTERMATH_MS = 100;

const allInstances = async (): Promise<Map<string, ServiceInstance>> => {
  const instances = new Map<string, ServiceInstance>();
  for (const list of Object.values(await discovery.getAllServices())) {
    for (const instance of list) instances.set(`${SCALE_NAMESPACE}/${instance.service}/${instance.id}`, instance);
  }
  return instances;
};

/** Heap in use, with what lies outside it but belongs to its objects. */
const heapBytes = async (): Promise<number> => {
  if (!global.gc) throw new Error('needs --expose-gc');
  for (let i = 0; i < 3; i++) {
    await delay(50);
    global.gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

let cpuBefore = process.cpuUsage();

/** Connected to etcd, its code loaded, nothing listed. */
const connect = async (): Promise<void> => void (await discovery.getServiceList('none'));

answerQuestions({
  /** From nothing, the connection to etcd included. */
  sync: async () => {
    const begun = performance.now();
    await discovery.startWatch();
    return { ms: performance.now() - begun, instances: (await allInstances()).size };
  },

  /** The event loop while the list comes in; what connecting takes has nothing to do with the number of instances. */
  block: async () => {
    await connect();
    loop.start();
    await discovery.startWatch();
    await delay(AFTERMATH_MS);
    return loop.stop();
  },

  heap: async () => {
    await connect();
    const before = await heapBytes();
    await discovery.startWatch();
    const bytes = (await heapBytes()) - before;
    return { bytes, instances: (await allInstances()).size };
  },

  rss: () => process.memoryUsage.rss(),

  follow: () => {
    for (let i = 0; i < SERVICES; i++) pushes.follow(serviceName(i), discovery.watchService(serviceName(i)));
    pushes.reset();
    loop.start();
    cpuBefore = process.cpuUsage();
  },

  followed: () => {
    const { user, system } = process.cpuUsage(cpuBefore);
    return { blockMs: loop.stop(), ownBlockMs: loop.ownMs, cpuMs: (user + system) / 1_000, pushes: pushes.counts() };
  },

  /** Waits until the cache says what etcd says, which does not change any more; when that was, by the wall clock. */
  settle: async () => {
    const etcd = new RawEtcd(SCALE_ETCD);
    const truth = await etcd.list(`${SCALE_NAMESPACE}/`);
    etcd.close();
    const isRight = async () => {
      const cached = await allInstances();
      return (
        cached.size === truth.length &&
        truth.every(({ key, modRevision, value }) => {
          const instance = cached.get(key);
          return instance?.modRevision === modRevision && instance.weight === value.weight && !instance.suspect;
        })
      );
    };
    for (const until = Date.now() + 20_000; Date.now() < until; await delay(10)) {
      if (await isRight()) return { at: Date.now(), instances: truth.length };
    }
    return { at: Number.NaN, instances: truth.length };
  },
});
