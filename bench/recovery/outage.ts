import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess, eventually } from '../../test/support/child-process.js';
import { EtcdServer } from '../../test/support/etcd-server.js';
import { EtcdMetrics, sum } from '../support/etcd-metrics.js';
import { KeyJournal } from '../support/key-journal.js';

const APPLICATIONS = 'dist/bench/recovery/registered-apps.js';
const PROCESSES = 4;
const NAMESPACE = '/bench-outage';
/** How often etcd's counters are read while the applications come back, ms. */
const SAMPLE_MS = 250;

export interface OutageResult {
  readonly applications: number;
  readonly outageMs: number;
  /** Keys that expired when etcd woke up, and those that stood through it. */
  readonly expired: number;
  readonly kept: number;
  /** From etcd's awakening until it had removed the last expired key: nobody can be back before, ms. */
  readonly lastExpiryMs: number;
  /** From etcd's awakening until all stand, and until half of them and 99 % of them were back, ms. */
  readonly allBackMs: number;
  readonly quantilesMs: { readonly p50: number; readonly p99: number };
  /** Most puts of keys within 100 ms. */
  readonly peakPutsPer100Ms: number;
  /** Calls to etcd from its awakening until all were back: together, per application, by method, and the most per second. */
  readonly calls: number;
  readonly callsPerApplication: number;
  readonly callsByMethod: Readonly<Record<string, number>>;
  readonly peakCallsPerSecond: number;
}

/** Stops etcd for twice the TTL under many registered applications, and measures how they come back. */
export async function measureOutage(applications: number, ttlMs: number): Promise<OutageResult> {
  const etcd = await EtcdServer.start();
  const env = { APPS_ETCD: etcd.endpoint, APPS_NAMESPACE: NAMESPACE, APPS_TTL: `${ttlMs}ms` };
  const processes = Array.from({ length: PROCESSES }, (_, i) =>
    TestProcess.node(APPLICATIONS, [], { ...env, APPS_COUNT: String(Math.ceil((applications - i) / PROCESSES)) }),
  );
  const journal = await KeyJournal.open(etcd.endpoint, `${NAMESPACE}/`);
  try {
    for (const process of processes) await process.message('started', 180_000);
    await journal.until('all are registered', () => journal.standing.size === applications, 10_000);
    console.log(`${applications} applications in ${PROCESSES} processes are registered; stopping etcd`);
    const outageMs = 2 * ttlMs;
    etcd.pause();
    await delay(outageMs);
    const samples: EtcdMetrics[] = [];
    journal.entries.length = 0;
    const awakeAt = performance.now();
    etcd.resume();
    const sampling = sampleUntilBack(etcd, samples, () => isOver(journal, applications, ttlMs, awakeAt));
    await sampling;
    await allSayTheyAre(processes, applications);
    return summarise(journal, applications, outageMs, awakeAt, samples);
  } finally {
    etcd.resume();
    await journal.close();
    for (const process of processes) await process.dispose();
    await etcd.stop();
  }
}

/** All stand, and nothing has moved for half a TTL: nobody is about to lose its lease any more. */
const isOver = (journal: KeyJournal, applications: number, ttlMs: number, awakeAt: number): boolean => {
  const lastMove = journal.entries.at(-1)?.at ?? awakeAt;
  return journal.standing.size === applications && performance.now() - lastMove > ttlMs / 2;
};

const sampleUntilBack = async (etcd: EtcdServer, samples: EtcdMetrics[], over: () => boolean): Promise<void> => {
  for (const until = performance.now() + 90_000; !over(); await delay(SAMPLE_MS)) {
    samples.push(await EtcdMetrics.read(etcd.endpoint));
    if (performance.now() > until) throw new Error('not all applications came back within 90 s');
  }
};

const allSayTheyAre = async (processes: readonly TestProcess[], applications: number): Promise<void> => {
  await eventually('every application says that it is registered', async () => {
    const answers = processes.map(async (process) => {
      const known = process.messages.length;
      process.child.send('states');
      return eventually('an answer', () => process.messages[known] as { registered: number } | undefined);
    });
    const counts = (await Promise.all(answers)).map(({ registered }) => registered);
    return counts.reduce((total, count) => total + count, 0) === applications;
  });
};

const summarise = (
  journal: KeyJournal,
  applications: number,
  outageMs: number,
  awakeAt: number,
  samples: readonly EtcdMetrics[],
): OutageResult => {
  const expired = new Set(journal.entries.filter(({ type }) => type === 'delete').map(({ key }) => key));
  const lastPut = new Map(journal.entries.filter(({ type }) => type === 'put').map(({ key, at }) => [key, at]));
  const back = [...expired].map((key) => (lastPut.get(key) ?? Infinity) - awakeAt).toSorted((a, b) => a - b);
  const puts = journal.entries.filter(({ type }) => type === 'put').map(({ at }) => at);
  const allBackMs = back.at(-1) ?? 0;
  const counted = samples.filter(({ at }) => at <= awakeAt + allBackMs + SAMPLE_MS);
  const callsByMethod = counted.length > 1 ? counted.at(-1)!.callsSince(counted[0]!) : {};
  const rates = counted.slice(1).map((sample, i) => {
    const earlier = counted[i]!;
    return (sum(sample.callsSince(earlier)) * 1_000) / (sample.at - earlier.at);
  });
  return {
    applications,
    outageMs,
    expired: expired.size,
    kept: applications - expired.size,
    lastExpiryMs: (journal.entries.findLast(({ type }) => type === 'delete')?.at ?? awakeAt) - awakeAt,
    allBackMs,
    quantilesMs: { p50: at(back, 0.5), p99: at(back, 0.99) },
    peakPutsPer100Ms: Math.max(0, ...puts.map((from) => puts.filter((one) => one >= from && one < from + 100).length)),
    calls: sum(callsByMethod),
    callsPerApplication: sum(callsByMethod) / applications,
    callsByMethod,
    peakCallsPerSecond: Math.max(0, ...rates),
  };
};

const at = (sorted: readonly number[], share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
