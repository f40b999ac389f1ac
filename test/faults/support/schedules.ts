import { runModel } from '../../../libs/etcd-discovery/test/model/run-model.js';
import { type RealReport, runReal } from '../../../libs/etcd-discovery/test/real/run-real.js';
import type { Figure } from './figure.js';
import { figureHolds, figureText } from './figure.js';

/** What a run of random schedules (promise P8) has shown. */
export interface SchedulesResult {
  readonly kind: 'model' | 'random';
  readonly seed: number;
  readonly schedules: number;
  readonly steps: number;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  readonly violations: readonly {
    readonly seed: number;
    readonly what: string;
    readonly schedule: readonly string[];
  }[];
}

type Say = (line: string) => void;

const secondsSince = (startedAt: number): number => Math.round((performance.now() - startedAt) / 100) / 10;

const tell = (say: Say, kind: SchedulesResult['kind'], { seed, what, schedule }: SchedulesResult['violations'][0]) =>
  say([`${kind}: seed ${seed} breaks a promise: ${what}`, ...schedule.map((line) => `    ${line}`)].join('\n'));

/** `schedules` of them over the real state machines, a fake transport and a fake clock; exactly the same ones for a seed. */
export const modelSchedules = async (schedules: number, seed: number, say: Say): Promise<SchedulesResult> => {
  const startedAt = performance.now();
  say(`… model: ${schedules} random schedules from seed ${seed}`);
  const report = await runModel({
    schedules,
    seed,
    onProgress: (done) => {
      if (done % 1_000 === 0) say(`  model: ${done} of ${schedules} [${secondsSince(startedAt)} s]`);
    },
  });
  for (const violation of report.violations) tell(say, 'model', violation);
  const figures = [
    { name: 'schedules against the model', value: report.schedules, unit: '', atLeast: schedules },
    { name: 'violations', value: report.violations.length, unit: '', atMost: 0 },
  ];
  return { kind: 'model', ...report, figures, seconds: secondsSince(startedAt) };
};

/**
 * `schedules` of them against a real etcd through proxies. The same seed makes the same choices; when exactly a real
 * etcd answers is nobody's choice, so a violation may need several runs to be seen again.
 */
export const realSchedules = async (schedules: number, seed: number, say: Say): Promise<SchedulesResult> => {
  const startedAt = performance.now();
  say(`… random: ${schedules} random schedules against a real etcd from seed ${seed}`);
  const report = await runReal({
    schedules,
    seed,
    onProgress: (done, violations) =>
      say(`  random: ${done} of ${schedules}, ${violations} violations [${secondsSince(startedAt)} s]`),
    onViolation: (violation) => {
      const { again } = violation;
      tell(say, 'random', violation);
      say(`    again: npm run faults -- --random ${again.schedules} --seed ${again.seed}`);
    },
  });
  say(`  random: ${namesOf(report.faults)}`);
  const figures = [
    { name: 'schedules against a real etcd', value: report.schedules, unit: '', atLeast: schedules },
    { name: 'violations', value: report.violations.length, unit: '', atMost: 0 },
    ...recoveryFigures(report),
  ];
  const { steps, violations } = report;
  return {
    kind: 'random',
    seed,
    schedules: report.schedules,
    steps,
    violations,
    figures,
    seconds: secondsSince(startedAt),
  };
};

export const schedulesHold = ({ figures }: SchedulesResult): boolean => figures.every(figureHolds);

/** One line: outcome, seed, figures against their goals and time. */
export const schedulesLine = (result: SchedulesResult): string => {
  const { kind, seed, figures, steps, seconds } = result;
  const outcome = schedulesHold(result) ? 'holds' : 'missed';
  return `${outcome.padEnd(12)} P8 ${kind}, seed ${seed}, ${steps} steps [${seconds} s]: ${figures.map(figureText).join('; ')}`;
};

/** `10000 schedules of the model, 0 violations (goal: 0)`. */
export const schedulesSummary = ({ kind, schedules, violations }: SchedulesResult): string =>
  `${schedules} schedules ${kind === 'model' ? 'of the model' : 'on a real etcd'}, ${violations.length} violations (goal: 0)`;

/** The bounds are kept schedule by schedule, with what a busy machine withholds taken off; these say how near it comes. */
const recoveryFigures = ({ recoveries, stalledMs }: RealReport): Figure[] => {
  const lost = recoveries.filter(({ connectionLost }) => connectionLost).map(({ cacheMs }) => cacheMs);
  const kept = recoveries.filter(({ connectionLost }) => !connectionLost).map(({ cacheMs }) => cacheMs);
  const registrations = recoveries.map(({ registrationsMs }) => registrationsMs);
  return [
    ...quantiles('cache equals etcd after a lost connection', lost),
    ...quantiles('cache equals etcd', kept),
    ...quantiles('registrations back', registrations),
    { name: 'kept from running', value: Math.round(stalledMs), unit: 'ms' },
  ];
};

const quantiles = (name: string, values: readonly number[]): Figure[] => {
  if (values.length === 0) return [];
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
  return [
    { name: `${name}, p50`, value: at(0.5), unit: 'ms' },
    { name: 'p99', value: at(0.99), unit: 'ms' },
    { name: 'max', value: at(1), unit: 'ms' },
  ];
};

const namesOf = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
