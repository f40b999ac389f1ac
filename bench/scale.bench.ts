import { EtcdServer } from '../test/support/etcd-server.js';
import { RawEtcd } from './scale/raw-etcd.js';
import { keyOf, SERVICES, valueOf } from './scale/records.js';
import type { Benchmark, Goal } from './support/benchmark.js';
import { Respondent } from './support/questions.js';
import { median } from './support/statistics.js';

const SIZES = [100, 1_000, 10_000, 100_000];
/** Of promise P14. */
const PROMISED_SIZE = 10_000;
const CHANGES_PER_SECOND = 500;

interface Sync {
  readonly ms: number;
  readonly instances: number;
}

/** Longest blocks of one round. */
interface Blocks {
  readonly library: number;
  readonly raw: number;
  /** Of a process that did nothing while the library listed. */
  readonly control: number;
}

interface SizeFigures {
  readonly instances: number;
  readonly syncMs: number;
  readonly rawMs: number;
  readonly ratio: number;
  readonly heapBytes: number;
  readonly blocks: readonly Blocks[];
  readonly samplesMs: { readonly library: readonly number[]; readonly raw: readonly number[] };
}

const namespaceOf = (instances: number) => `/scale-${instances}`;

function* records(instances: number): Generator<readonly [string, string]> {
  for (let i = 0; i < instances; i++) yield [keyOf(namespaceOf(instances), i), valueOf(i)];
}

class Scale {
  constructor(
    private readonly etcd: EtcdServer,
    private readonly control: Respondent,
  ) {}

  /** One fresh process each, because an application lists once; the order alternates. */
  async size(instances: number, rounds: number): Promise<SizeFigures> {
    const samples = { library: [] as number[], raw: [] as number[] };
    const blocks: Blocks[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const one of round % 2 === 0 ? (['library', 'raw'] as const) : (['raw', 'library'] as const)) {
        samples[one].push(await this.sync(`${one}-client`, instances));
      }
      await this.control.ask('start');
      const library = await this.block('library-client', instances);
      const control = await this.control.ask<number>('stop');
      blocks.push({ library, control, raw: await this.block('raw-client', instances) });
    }
    const [syncMs, rawMs] = [median(samples.library), median(samples.raw)];
    const heapBytes = (await this.heap(instances)) / instances;
    return { instances, syncMs, rawMs, ratio: syncMs / rawMs, heapBytes, blocks, samplesMs: samples };
  }

  /** A minute of changes, and how the cache of one application follows. */
  async churn(instances: number, seconds: number) {
    const client = this.start('library-client', instances);
    const writer = this.start('writer', instances);
    try {
      await client.ask<Sync>('sync');
      await client.ask('follow');
      await this.control.ask('start');
      const wrote = await writer.ask<{ written: number; seconds: number; slowestMs: number; lastAt: number }>(
        'write',
        { instances, perSecond: CHANGES_PER_SECOND, seconds },
        (seconds + 60) * 1_000,
      );
      const { at } = await client.ask<{ at: number }>('settle');
      const controlMs = await this.control.ask<number>('stop');
      const followed = await client.ask<{
        blockMs: number;
        cpuMs: number;
        pushes: { all: number; busiest: number; busiestSecond: number };
      }>('followed');
      return {
        ...wrote,
        rightAfterMs: at - wrote.lastAt,
        cpuPercent: followed.cpuMs / wrote.seconds / 10,
        blockMs: Math.max(0, followed.blockMs - controlMs),
        // The first is not the end of an interval.
        pushesPerSecond: (followed.pushes.busiest - 1) / wrote.seconds,
        pushes: followed.pushes,
      };
    } finally {
      await client.end();
      await writer.end();
    }
  }

  private async heap(instances: number): Promise<number> {
    const client = this.start('library-client', instances, ['--expose-gc']);
    try {
      return (await client.ask<{ bytes: number }>('heap')).bytes;
    } finally {
      await client.end();
    }
  }

  private async sync(program: string, instances: number): Promise<number> {
    const client = this.start(program, instances);
    try {
      const sync = await client.ask<Sync>('sync');
      if (sync.instances !== instances) throw new Error(`${program} found ${sync.instances} of ${instances} instances`);
      return sync.ms;
    } finally {
      await client.end();
    }
  }

  private async block(program: string, instances: number): Promise<number> {
    const client = this.start(program, instances);
    try {
      return await client.ask<number>('block');
    } finally {
      await client.end();
    }
  }

  private start(program: string, instances: number, flags: readonly string[] = []): Respondent {
    const env = { SCALE_ETCD: this.etcd.endpoint, SCALE_NAMESPACE: namespaceOf(instances) };
    return Respondent.start(`dist/bench/scale/${program}.js`, [], env, flags);
  }
}

/** Of each round, what is beyond the control's own. */
const ownBlocks = ({ blocks }: SizeFigures, whose: 'library' | 'raw' = 'library'): number[] =>
  blocks.map((round) => Math.max(0, round[whose] - round.control));

const table = (sizes: readonly SizeFigures[]): string => {
  const head = [
    'instances',
    'sync ms',
    'raw ms',
    'ratio',
    'sync µs each',
    'heap B each',
    'block ms',
    'worst',
    'raw block ms',
  ];
  const rows = sizes.map((size) => [
    String(size.instances),
    size.syncMs.toFixed(1),
    size.rawMs.toFixed(1),
    size.ratio.toFixed(2),
    ((size.syncMs * 1_000) / size.instances).toFixed(1),
    size.heapBytes.toFixed(0),
    median(ownBlocks(size)).toFixed(1),
    Math.max(...ownBlocks(size)).toFixed(1),
    median(ownBlocks(size, 'raw')).toFixed(1),
  ]);
  return [head, ...rows].map((row) => row.map((cell, i) => cell.padStart(head[i]!.length)).join('  ')).join('\n');
};

/**
 * How the read path grows with the number of instances: the initial sync against a raw list of the same keys, memory,
 * the event loop (promise P14), and a cache that follows steady changes.
 */
export const scaleBenchmark: Benchmark = {
  name: 'scale',
  summary: `100 to 100,000 instances over ${SERVICES} services: initial sync, heap, event loop, 500 changes/s`,
  async run({ rounds, quick = false }) {
    const sizes = quick ? SIZES.filter((size) => size <= PROMISED_SIZE) : SIZES;
    const etcd = await EtcdServer.start();
    const control = Respondent.start('dist/bench/scale/control.js', []);
    try {
      const raw = new RawEtcd(etcd.endpoint);
      for (const size of sizes) await raw.seed(records(size));
      raw.close();
      const scale = new Scale(etcd, control);
      const figures: SizeFigures[] = [];
      for (const size of sizes) figures.push(await scale.size(size, rounds ?? (quick ? 3 : 9)));
      console.log(table(figures));
      const seconds = quick ? 10 : 60;
      const churn = await scale.churn(PROMISED_SIZE, seconds);
      console.log(
        `${churn.written} changes in ${churn.seconds.toFixed(1)} s at ${PROMISED_SIZE} instances: right after ` +
          `${churn.rightAfterMs} ms, CPU ${churn.cpuPercent.toFixed(1)} % of a core, longest block ${churn.blockMs.toFixed(1)} ms, ` +
          `${churn.pushes.all} pushes, ${churn.pushesPerSecond.toFixed(1)}/s to the busiest service ` +
          `(${churn.pushes.busiestSecond} in its busiest second)`,
      );
      const atPromised = figures.find(({ instances }) => instances === PROMISED_SIZE)!;
      const large = figures.filter(({ instances }) => instances >= PROMISED_SIZE);
      const most = (what: string, figure: number, goal: number, unit: string): Goal => ({
        what,
        figure,
        goal,
        unit,
        atMost: true,
      });
      return {
        name: 'scale',
        goals: [
          most('sync against a raw list', Math.max(...figures.map(({ ratio }) => ratio)), 1.5, '×'),
          most('heap per instance', Math.max(...large.map(({ heapBytes }) => heapBytes)), 1_536, 'bytes'),
          most(`longest block at ${PROMISED_SIZE}`, median(ownBlocks(atPromised)), 20, 'ms'),
          most('right after changes', churn.rightAfterMs, 2_000, 'ms'),
          most('pushes per second', churn.pushesPerSecond, 10, '/s'),
        ],
        details: { sizes: figures, churn },
      };
    } finally {
      await control.end();
      await etcd.stop();
    }
  },
};
