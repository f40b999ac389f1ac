import type { Defect } from '../model/stage.js';
import { generate, generateEtcd } from './generate.js';
import { describeStep, type EtcdOperation, type RealSchedule } from './operation.js';
import { perform } from './perform.js';
import { RealEtcd } from './real-etcd.js';
import { RealWorld } from './real-world.js';
import { Stalls } from './stalls.js';
import { judge, leave, type Recovery } from './verdict.js';

export interface RealViolation {
  /** Of its schedule. */
  readonly seed: number;
  readonly what: string;
  /** The setting, and what was done when. */
  readonly schedule: readonly string[];
  /** Repeats its batch: the same choices, at times that a real etcd does not repeat to the millisecond. */
  readonly again: { readonly schedules: number; readonly seed: number };
}

export interface RealReport {
  readonly schedules: number;
  readonly steps: number;
  readonly seed: number;
  readonly violations: readonly RealViolation[];
  readonly recoveries: readonly Recovery[];
  /** How often each kind of step was done, on the ways to etcd and to etcd. */
  readonly faults: Readonly<Record<string, number>>;
  /** While promises were being timed, ms: what a busy machine withheld from this process. */
  readonly stalledMs: number;
}

export interface RealRun {
  readonly schedules: number;
  /** Schedule n is that of `seed + n`, the life of a batch's etcd that of its first. */
  readonly seed: number;
  /** Schedules at once, on one etcd. */
  readonly batch?: number;
  readonly onProgress?: (done: number, violations: number) => void;
  readonly onViolation?: (violation: RealViolation) => void;
  readonly defect?: Defect;
}

const BATCH = 8;
/** Enough to see what is wrong. */
const MAX_VIOLATIONS = 10;

/** Random schedules against a real etcd, through proxies (promise P8). Stops early when it has found ten violations. */
export const runReal = async (run: RealRun): Promise<RealReport> => {
  const { schedules, seed, batch = BATCH, onProgress, onViolation, defect = {} } = run;
  const results: BatchResult[] = [];
  const violations = () => results.flatMap((result) => result.violations);
  let done = 0;
  while (done < schedules && violations().length < MAX_VIOLATIONS) {
    const count = Math.min(batch, schedules - done);
    const result = await runBatch(seed + done, count, defect);
    results.push(result);
    for (const violation of result.violations) onViolation?.(violation);
    done += count;
    onProgress?.(done, violations().length);
  }
  const faults: Record<string, number> = {};
  for (const name of results.flatMap((result) => result.faults)) faults[name] = (faults[name] ?? 0) + 1;
  return {
    schedules: done,
    steps: results.reduce((sum, { steps }) => sum + steps, 0),
    seed,
    violations: violations(),
    recoveries: results.flatMap(({ recoveries }) => recoveries),
    faults,
    stalledMs: results.reduce((sum, { stalledMs }) => sum + stalledMs, 0),
  };
};

interface BatchResult {
  readonly steps: number;
  readonly violations: readonly RealViolation[];
  readonly recoveries: readonly Recovery[];
  readonly faults: readonly string[];
  readonly stalledMs: number;
}

const runBatch = async (seed: number, count: number, defect: Defect): Promise<BatchResult> => {
  const schedules = Array.from({ length: count }, (_, n) => generate(seed + n));
  const life = generateEtcd(seed);
  const etcd = await RealEtcd.start();
  const worlds = schedules.map(({ setting }) => new RealWorld(etcd, setting, defect));
  const stray = (error: unknown) => {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    for (const world of worlds) world.violated('unhandled rejection', detail);
  };
  process.on('unhandledRejection', stray);
  const stalls = new Stalls();
  try {
    await Promise.all(worlds.map((world) => world.start()));
    await Promise.all([live(etcd, life, worlds), ...worlds.map((world, n) => play(world, schedules[n]!))]);
    for (const world of worlds) {
      world.note('the faults are over');
      for (const { way, crashed } of world.processes) if (!crashed) way.mend();
    }
    const before = stalls.ms;
    const recoveries = await Promise.all(worlds.map((world) => judge(world, stalls)));
    const stalledMs = stalls.ms - before;
    await Promise.all(worlds.map((world) => leave(world)));
    return {
      steps: schedules.reduce((sum, { operations }) => sum + operations.length, life.length),
      violations: worlds.flatMap((world, n) => violationsOf(world, seed, n, count)),
      recoveries,
      faults: [...life, ...schedules.flatMap(({ operations }) => operations)].flatMap(faultName),
      stalledMs,
    };
  } finally {
    stalls.stop();
    process.off('unhandledRejection', stray);
    await etcd.stop();
  }
};

const live = async (etcd: RealEtcd, life: readonly EtcdOperation[], worlds: readonly RealWorld[]): Promise<void> => {
  for (const step of life) {
    for (const world of worlds) if (step.op !== 'wait') world.note(`etcd: ${describeStep(step)}`);
    await etcd.perform(step);
    for (const world of worlds) if (step.op !== 'wait') world.note(`etcd: ${step.op} done`);
  }
};

const play = async (world: RealWorld, { operations }: RealSchedule): Promise<void> => {
  for (const operation of operations) await perform(world, operation);
};

const violationsOf = (world: RealWorld, seed: number, n: number, count: number): RealViolation[] => {
  const [first] = world.violations;
  if (!first) return [];
  return [
    {
      seed: seed + n,
      what: `${first.what}: ${first.detail}`,
      schedule: [`setting ${JSON.stringify(world.setting)}`, ...world.diary],
      again: { schedules: count, seed },
    },
  ];
};

const faultName = (step: EtcdOperation | RealSchedule['operations'][number]): string[] => {
  if (step.op === 'link') return [`link ${step.what}`];
  return ['pause', 'kill', 'compact', 'defrag', 'restore', 'wipe'].includes(step.op) ? [`etcd ${step.op}`] : [];
};
