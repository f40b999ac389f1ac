import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess } from '../test/support/child-process.js';
import { EtcdServer } from '../test/support/etcd-server.js';
import { RawEtcd } from '../test/support/raw-etcd.js';
import type { Benchmark, BenchmarkResult } from './support/benchmark.js';
import { monotonicMs } from './support/monotonic.js';
import { median, quantile } from './support/statistics.js';

const PROVIDER = 'dist/bench/converge-provider.js';
const CLIENTS = 'dist/bench/converge-clients.js';
const NAMESPACE = '/bench-converge';
const SERVICE = 'echo';
/** Watched through the driver only; the library in the observer does not know it. */
const RAW_SERVICE = 'raw';
/** Four changes a second: each finds the observer at rest, as a single deployment does. */
const PAUSE_MS = 250;
const CLIENT_PROCESSES = 4;
const CLIENTS_PER_PROCESS = 25;
const STANDING = 3;

/** Moments on the machine's monotonic clock, ms. */
interface Written {
  readonly startedAt: number;
  readonly doneAt: number;
}

interface Command {
  readonly command: string;
  readonly [argument: string]: unknown;
}

/** A process of the benchmark and the questions it answers, one number each. */
class Peer {
  private turn = 0;

  constructor(readonly process: TestProcess) {}

  async ask<T>(command: Command): Promise<T> {
    const turn = ++this.turn;
    this.process.child.send({ ...command, turn });
    const answer = await this.process.message<T & { error?: string }>(`done-${turn}`);
    if (answer.error !== undefined) throw new Error(`${command.command}: ${answer.error}`);
    return answer;
  }
}

const seenAt = async (observer: TestProcess, event: string): Promise<number> =>
  (await observer.message<{ at: number }>(event)).at;

/** Milliseconds from the begin of a write until another process has it, by three ways that take turns. */
const cacheAgainstWatch = async (etcd: EtcdServer, provider: Peer, rounds: number) => {
  const prefix = `${NAMESPACE}/${RAW_SERVICE}/`;
  const observer = TestProcess.node(CLIENTS, ['cache'], {
    APP_ETCD: etcd.endpoint,
    APP_NAMESPACE: NAMESPACE,
    APP_SERVICE: SERVICE,
    APP_RAW_PREFIX: prefix,
  });
  const samples = { cache: [] as number[], registeredToWatch: [] as number[], watch: [] as number[] };
  try {
    await observer.message('started');
    await provider.ask({ command: 'register', service: 'sample', id: 'sample', port: 1 });
    const raw = new RawEtcd(etcd.endpoint);
    const value = JSON.stringify((await raw.keys(`${NAMESPACE}/sample/`))[0]!.value);
    raw.close();
    const measure = {
      /** All ours: `register()`, and the event of `watchService()` once the cache has it. */
      cache: async (id: string) => {
        const { startedAt } = await provider.ask<Written>({ command: 'register', service: SERVICE, id, port: 1 });
        samples.cache.push((await seenAt(observer, `cached-${id}`)) - startedAt);
      },
      /** Ours writes, the driver reads: what `register()` itself takes of it. */
      registeredToWatch: async (id: string) => {
        const { startedAt } = await provider.ask<Written>({ command: 'register', service: RAW_SERVICE, id, port: 1 });
        samples.registeredToWatch.push((await seenAt(observer, `raw-${id}`)) - startedAt);
      },
      /** Nothing of ours: a put of the same value, and the event as etcd sends it. */
      watch: async (id: string) => {
        const { startedAt } = await provider.ask<Written>({ command: 'put', key: `${prefix}${id}`, value });
        samples.watch.push((await seenAt(observer, `raw-${id}`)) - startedAt);
      },
    };
    const ways = Object.entries(measure);
    for (let round = 0; round <= rounds; round++) {
      for (let step = 0; step < ways.length; step++) {
        // The order rotates, so that no way always follows the same other.
        const [way, run] = ways[(round + step) % ways.length]!;
        await run(`${way.toLowerCase()}-${round}`);
        await delay(PAUSE_MS);
      }
      // The first of each warms up: connections, and code that has never run.
      if (round === 0) for (const list of Object.values(samples)) list.length = 0;
    }
    return samples;
  } finally {
    await observer.dispose();
  }
};

interface Ready {
  /** Moments on the machine's monotonic clock, ms. */
  readonly at: readonly number[];
  readonly misled: number;
  readonly missing: number;
}

const POOLED = 'pickers';

/** 100 clients of one service, and the moments at which a new instance is ready in each. */
class Crowd {
  private turn = 0;
  private readonly processes: readonly TestProcess[];

  constructor(etcd: EtcdServer) {
    this.processes = Array.from({ length: CLIENT_PROCESSES }, () =>
      TestProcess.node(CLIENTS, ['pickers'], {
        APP_ETCD: etcd.endpoint,
        APP_NAMESPACE: NAMESPACE,
        APP_SERVICE: POOLED,
        APP_CLIENTS: String(CLIENTS_PER_PROCESS),
      }),
    );
  }

  async started(): Promise<void> {
    for (const each of this.processes) await each.message('started', 60_000);
  }

  /** Tells all what to look for; the returned function waits until they have seen it. */
  async look(what: { id: string } | { address: string }): Promise<() => Promise<readonly Ready[]>> {
    const turn = ++this.turn;
    for (const each of this.processes) each.child.send({ ...what, known: STANDING, turn });
    await Promise.all(this.processes.map((each) => each.message(`looking-${turn}`)));
    return () => Promise.all(this.processes.map((each) => each.message<Ready & object>(`ready-${turn}`)));
  }

  async dispose(): Promise<void> {
    await Promise.all(this.processes.map((each) => each.dispose()));
  }
}

/**
 * Milliseconds after `register()` resolved until each client would send calls to the new instance; and, in turn with it,
 * what the same number of plain channels takes that are told the address: that much is the machine's.
 */
const readyInPickers = async (etcd: EtcdServer, provider: Peer, rounds: number) => {
  const serve = async (id: string) => (await provider.ask<{ port: number }>({ command: 'serve', id })).port;
  const register = (id: string, port: number) =>
    provider.ask<Written>({ command: 'register', service: POOLED, id, port });
  for (let index = 0; index < STANDING; index++) {
    const id = `standing-${index}`;
    await register(id, await serve(id));
  }
  const crowd = new Crowd(etcd);
  const samples = { ready: [] as number[], register: [] as number[], plainChannels: [] as number[] };
  let failed = 0;
  const since = (start: number, ready: readonly Ready[]) =>
    ready.flatMap(({ at }) => at.map((moment) => Math.max(0, moment - start)));
  try {
    await crowd.started();
    for (let round = 1; round <= rounds; round++) {
      const id = `new-${round}`;
      const port = await serve(id);
      const seen = await crowd.look({ id });
      const { startedAt, doneAt } = await register(id, port);
      const ready = await seen();
      samples.register.push(doneAt - startedAt);
      samples.ready.push(...since(doneAt, ready));
      for (const { misled, missing } of ready) failed += Math.max(misled, missing);
      await provider.ask({ command: 'deregister', id });
      await delay(2 * PAUSE_MS);

      const address = `127.0.0.1:${await serve(`plain-${round}`)}`;
      const startedConnecting = monotonicMs();
      const connected = await crowd.look({ address });
      samples.plainChannels.push(...since(startedConnecting, await connected()));
      await provider.ask({ command: 'deregister', id: `plain-${round}` });
      await delay(2 * PAUSE_MS);
    }
    return { samples, failed };
  } finally {
    await crowd.dispose();
  }
};

const summary = (samples: readonly number[]) => ({
  p50: median(samples),
  p90: quantile(samples, 0.9),
  p99: quantile(samples, 0.99),
  max: quantile(samples, 1),
});

const told = (what: string, samples: readonly number[]): void => {
  const { p50, p90, p99, max } = summary(samples);
  const digits = (ms: number) => ms.toFixed(2);
  console.log(
    `${what.padEnd(48)} n=${samples.length} p50 ${digits(p50)}  p90 ${digits(p90)}  p99 ${digits(p99)}  max ${digits(max)} ms`,
  );
};

/** How soon a new instance is known, and how soon it takes traffic. */
export const convergeBenchmark: Benchmark = {
  name: 'converge',
  summary:
    'register() to another cache against the raw watch event (≤ 1.5×), and to 100 pickers (p50 ≤ 100, p99 ≤ 500 ms)',
  async run({ quick = false, rounds = quick ? 12 : 60 }): Promise<BenchmarkResult> {
    const etcd = await EtcdServer.start();
    const provider = new Peer(TestProcess.node(PROVIDER, [], { APP_ETCD: etcd.endpoint, APP_NAMESPACE: NAMESPACE }));
    try {
      await provider.process.message('started');
      const { cache, registeredToWatch, watch } = await cacheAgainstWatch(etcd, provider, rounds);
      told('register() → visible in another cache', cache);
      told('register() → raw watch event', registeredToWatch);
      told('raw put → raw watch event', watch);
      const { samples, failed } = await readyInPickers(etcd, provider, Math.max(5, Math.round(rounds / 3)));
      const clients = CLIENT_PROCESSES * CLIENTS_PER_PROCESS;
      told(`register() resolved → ready, ${clients} clients`, samples.ready);
      told(`address known → ready, ${clients} plain channels`, samples.plainChannels);
      told('register() with so many clients', samples.register);
      const goal = (what: string, figure: number, bound: number, unit: string) =>
        ({ what, figure, goal: bound, unit, atMost: true }) as const;
      return {
        name: 'converge',
        goals: [
          goal('register() to cache / to raw watch', median(cache) / median(registeredToWatch), 1.5, ''),
          goal('ready p50', median(samples.ready), 100, 'ms'),
          goal('ready p99', quantile(samples.ready, 0.99), 500, 'ms'),
          goal('never ready, or ready and not called', failed, 0, 'clients'),
        ],
        details: {
          rounds,
          registerToCacheMs: summary(cache),
          registerToRawWatchMs: summary(registeredToWatch),
          rawPutToRawWatchMs: summary(watch),
          readyMs: summary(samples.ready),
          plainChannelsMs: summary(samples.plainChannels),
          registerMs: summary(samples.register),
          samplesMs: {
            registerToCache: cache,
            registerToRawWatch: registeredToWatch,
            rawPutToRawWatch: watch,
            ...samples,
          },
        },
      };
    } finally {
      await provider.process.dispose();
      await etcd.stop();
    }
  },
};
