import { EtcdServer } from '../test/support/etcd-server.js';
import { Herd, type HerdRun, seed } from './herd.real.js';
import { type SimulatedRun, simulatedRun } from './herd.simulated.js';
import type { Benchmark, BenchmarkResult, Goal } from './support/benchmark.js';
import { median } from './support/statistics.js';

const CLIENTS = 200;
/** Back within a heartbeat: an upgrade of one binary. Longer away: a machine that reboots. */
const OUTAGES = { short: 0, long: 5_000 };
type Outage = keyof typeof OUTAGES;
const SEEDS = [1, 2, 3, 4, 5];
/** How far the simulated peak of lists may be from the real one. */
const TOLERANCE = 0.25;

type Figures = Pick<
  HerdRun & SimulatedRun,
  | 'lists'
  | 'listsWithValues'
  | 'peakListsPerSecond'
  | 'peakListsWithValuesPerSecond'
  | 'peakBytesPerSecond'
  | 'peakCpuShare'
>;

const told = (what: string, run: Figures & { jitter: boolean }, outage: Outage): void =>
  console.log(
    `${what.padEnd(16)} ${outage.padEnd(5)} outage, ${run.jitter ? 'with   ' : 'without'} jitter: ` +
      `${String(run.lists).padStart(5)} lists (${run.listsWithValues} with values), ` +
      `peak ${run.peakListsPerSecond.toFixed(0)} lists/s, ${(run.peakBytesPerSecond / 1e6).toFixed(2)} MB/s, ` +
      `etcd CPU ${(run.peakCpuShare * 100).toFixed(0)} %; with values ${run.peakListsWithValuesPerSecond.toFixed(0)}/s`,
  );

const medianOf = <R>(runs: readonly R[], of: (run: R) => number): number => median(runs.map(of));

/** Every outage as often as there are rounds, with jitter and without, each with a crowd of its own. */
const realRuns = async (rounds: number): Promise<Record<Outage, { with: HerdRun[]; without: HerdRun[] }>> => {
  const runs = {
    short: { with: [] as HerdRun[], without: [] as HerdRun[] },
    long: { with: [] as HerdRun[], without: [] as HerdRun[] },
  };
  const etcd = await EtcdServer.start();
  try {
    await seed(etcd);
    for (const jitter of [false, true]) {
      const herd = await Herd.start(etcd, CLIENTS, jitter);
      try {
        for (let round = 0; round < rounds; round++) {
          for (const outage of ['short', 'long'] as const) {
            const run = await herd.restart(etcd, OUTAGES[outage]);
            runs[outage][jitter ? 'with' : 'without'].push(run);
            told(`${CLIENTS} real`, run, outage);
          }
        }
      } finally {
        await herd.dispose();
      }
    }
  } finally {
    await etcd.stop();
  }
  return runs;
};

const simulatedRuns = async (
  downMs: Record<Outage, number>,
  realPeak: number,
): Promise<{ goals: Goal[]; runs: SimulatedRun[] }> => {
  const runs: SimulatedRun[] = [];
  const simulate = async (clients: number, outage: Outage, jitter: boolean, shared = false, seed = 1) => {
    const run = await simulatedRun({ clients, jitter, downMs: downMs[outage], seed, shared });
    runs.push(run);
    return run;
  };
  const same: SimulatedRun[] = [];
  for (const seed of SEEDS) same.push(await simulate(CLIENTS, 'long', true, true, seed));
  told(`${CLIENTS} simulated`, same[0]!, 'long');
  told(`${CLIENTS} simulated`, await simulate(CLIENTS, 'long', false, true), 'long');
  const peak = medianOf(same, (run) => run.peakListsPerSecond);
  const goals: Goal[] = [
    {
      what: 'simulated / real peak lists, off by',
      figure: Math.abs(peak / realPeak - 1),
      goal: TOLERANCE,
      unit: '',
      atMost: true,
    },
  ];
  // From here on every client has a machine of its own, and etcd two cores to itself.
  for (const clients of [CLIENTS, 1_000, 10_000]) {
    for (const outage of ['short', 'long'] as const) {
      const spread = await simulate(clients, outage, true);
      told(`${clients} simulated`, spread, outage);
      if (clients === 1_000)
        goals.push({
          what: `lists with values, 1,000 clients, ${outage} outage,`,
          figure: spread.peakListsWithValuesPerSecond,
          goal: 200,
          unit: '/s',
          atMost: true,
        });
      if (clients > 1_000) continue;
      told(`${clients} simulated`, await simulate(clients, outage, false), outage);
    }
  }
  return { goals, runs };
};

/** What a crowd of clients does to an etcd that was restarted. */
export const herdBenchmark: Benchmark = {
  name: 'herd',
  summary:
    '200 clients × 5 services after a restart of etcd, with jitter against without (bytes, CPU ≥ 5× lower); --simulate: 1,000 and 10,000',
  async run({ quick = false, rounds = quick ? 1 : 3, simulate = false }): Promise<BenchmarkResult> {
    const real = await realRuns(rounds);
    const { long, short } = real;
    const ratio = (of: (run: HerdRun) => number) => medianOf(long.without, of) / medianOf(long.with, of);
    const atLeast = { goal: 5, unit: '×', atMost: false };
    const goals: Goal[] = [
      { what: 'peak of bytes without / with jitter', figure: ratio((run) => run.peakBytesPerSecond), ...atLeast },
      { what: 'peak of etcd CPU without / with jitter', figure: ratio((run) => run.peakCpuShare), ...atLeast },
      {
        what: 'lists with values, short outage,',
        figure: medianOf(short.with, (run) => run.peakListsWithValuesPerSecond),
        goal: 200,
        unit: '/s',
        atMost: true,
      },
    ];
    const downMs = {
      short: medianOf(short.with, (run) => run.downMs),
      long: medianOf(long.with, (run) => run.downMs),
    };
    const simulated = simulate
      ? await simulatedRuns(
          downMs,
          medianOf(long.with, (run) => run.peakListsPerSecond),
        )
      : undefined;
    return {
      name: 'herd',
      goals: [...goals, ...(simulated?.goals ?? [])],
      details: { rounds, clients: CLIENTS, real, ...(simulated && { simulated: simulated.runs }) },
    };
  },
};
