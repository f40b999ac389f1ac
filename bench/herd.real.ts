import { setTimeout as delay } from 'node:timers/promises';
import { INSTANCES, SERVICES, WATCHED_BY_EACH, serviceName } from '../libs/etcd-discovery/test/herd/herd-shape.js';
import { stored } from '../libs/etcd-discovery/test/support/catalog-world.js';
import { TestProcess } from '../test/support/child-process.js';
import { EtcdServer } from '../test/support/etcd-server.js';
import { RawEtcd } from '../test/support/raw-etcd.js';
import { monotonicMs } from './support/monotonic.js';
import { UsageSampler, peakPerSecond, peakRate } from './support/process-usage.js';

const CLIENTS = 'dist/libs/etcd-discovery/test/herd/herd-clients.js';
const NAMESPACE = '/bench-herd';
const PROCESSES = 4;
const SAMPLE_MS = 20;
/** Peaks are rates over so much. */
export const WINDOW_MS = 100;
const SECOND_MS = 1_000;

interface Page {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly keysOnly: boolean;
}

/** What one restart of etcd led to. */
export interface HerdRun {
  readonly jitter: boolean;
  /** From the end of the old process until the new one answered, ms. */
  readonly downMs: number;
  readonly lists: number;
  readonly listsWithValues: number;
  readonly peakListsPerSecond: number;
  /** Over a whole second, which is what the promise counts in. */
  readonly peakListsWithValuesPerSecond: number;
  readonly peakBytesPerSecond: number;
  /** Of one core. */
  readonly peakCpuShare: number;
  /** Until the last client had its cache again, after etcd answered. */
  readonly allBackMs: number;
  /** What the restart cost all together: the clients, and etcd from when it could be reached. */
  readonly clientsCpuMs: number;
  readonly etcdCpuMs: number;
  readonly bytes: number;
}

/** 200 clients in four processes, with or without jitter. */
export class Herd {
  private turn = 0;

  private constructor(
    private readonly jitter: boolean,
    private readonly processes: readonly TestProcess[],
  ) {}

  static async start(etcd: EtcdServer, clients: number, jitter: boolean): Promise<Herd> {
    const each = clients / PROCESSES;
    const processes = Array.from({ length: PROCESSES }, (_, index) =>
      TestProcess.node(CLIENTS, [], {
        HERD_ETCD: etcd.endpoint,
        HERD_NAMESPACE: NAMESPACE,
        HERD_CLIENTS: String(each),
        HERD_FIRST: String(index * each),
        HERD_JITTER: jitter ? 'on' : 'off',
      }),
    );
    for (const process of processes) await process.message('started', 60_000);
    return new Herd(jitter, processes);
  }

  /** Ends etcd without a word, starts it again after `downMs`, and watches what comes. */
  async restart(etcd: EtcdServer, downMs: number): Promise<HerdRun> {
    await this.ask('reset');
    await etcd.kill();
    const killedAt = monotonicMs();
    await delay(downMs);
    const starting = etcd.up();
    const sampler = new UsageSampler(etcd.pid!, SAMPLE_MS);
    await starting;
    const upAt = monotonicMs();
    const answers = await this.ask<{ pages: Page[]; fewest: number; cpuMs: number }>('collect');
    // What the last lists cost is still to come.
    await delay(2 * WINDOW_MS);
    const samples = await sampler.stop();
    for (const { fewest } of answers)
      if (fewest !== INSTANCES) throw new Error(`a client has ${fewest} instances of a service, not ${INSTANCES}`);
    const pages = answers.flatMap(({ pages }) => pages);
    const sentAt = pages.map((page) => page.sentAt);
    const withValues = pages.filter(({ keysOnly }) => !keysOnly);
    // From when it can be reached: what its own start takes is not the herd's doing.
    const firstAt = Math.min(upAt, ...sentAt);
    const herd = samples.filter(({ atMs }) => atMs >= firstAt - SAMPLE_MS);
    return {
      jitter: this.jitter,
      downMs: firstAt - killedAt,
      lists: pages.length,
      listsWithValues: withValues.length,
      peakListsPerSecond: peakPerSecond(sentAt, WINDOW_MS),
      peakListsWithValuesPerSecond: peakPerSecond(
        withValues.map((page) => page.sentAt),
        SECOND_MS,
      ),
      peakBytesPerSecond: peakRate(herd, ({ writtenBytes }) => writtenBytes, WINDOW_MS),
      peakCpuShare: peakRate(herd, ({ cpuMs }) => cpuMs, WINDOW_MS) / 1_000,
      clientsCpuMs: answers.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
      etcdCpuMs: herd.at(-1)!.cpuMs - herd[0]!.cpuMs,
      bytes: herd.at(-1)!.writtenBytes - herd[0]!.writtenBytes,
      allBackMs: Math.max(...pages.map(({ answeredAt }) => answeredAt)) - firstAt,
    };
  }

  async dispose(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.dispose()));
  }

  private async ask<T>(command: 'reset' | 'collect'): Promise<(T & object)[]> {
    const turn = ++this.turn;
    const event = command === 'reset' ? `reset-${turn}` : `collected-${turn}`;
    for (const { child } of this.processes) child.send({ command, turn });
    return Promise.all(this.processes.map((process) => process.message<T & object>(event, 60_000)));
  }
}

/** 20 services of 20 instances each, with values as the library writes them. */
export const seed = async (etcd: EtcdServer): Promise<void> => {
  const raw = new RawEtcd(etcd.endpoint);
  for (let service = 0; service < SERVICES; service++) {
    const name = serviceName(service);
    const ids = Array.from({ length: INSTANCES }, (_, instance) => `instance-${instance}`);
    await Promise.all(ids.map((id) => raw.put(`${NAMESPACE}/${name}/${id}`, stored(name, id))));
  }
  raw.close();
};

export { WATCHED_BY_EACH };
