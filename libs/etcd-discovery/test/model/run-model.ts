import { FakeClock } from '../support/fake-clock.js';
import { generate } from './generate.js';
import { describeSchedule, type Schedule } from './operation.js';
import { perform } from './perform.js';
import { shrink } from './shrink.js';
import type { Defect, Violation } from './stage.js';
import { judge } from './verdict.js';
import { World } from './world.js';

export interface ModelViolation {
  /** `generate(seed)` is the schedule as it was found. */
  readonly seed: number;
  readonly what: string;
  /** The shortest schedule that still shows it, one line a step, the setting first. */
  readonly schedule: readonly string[];
  /** The same, to be kept in the corpus. */
  readonly replay: Schedule;
}

export interface ModelReport {
  readonly schedules: number;
  readonly steps: number;
  readonly seed: number;
  readonly violations: readonly ModelViolation[];
}

/** Runs one schedule to its end and to the verdict. Deterministic: the same schedule gives the same violations. */
export const runSchedule = async (schedule: Schedule, defect?: Defect): Promise<readonly Violation[]> => {
  const clock = new FakeClock();
  const world = new World(clock, schedule.setting, defect);
  for (const operation of schedule.operations) {
    await clock.advance(perform(world, operation));
    if (world.violations.length > 0) return world.violations;
  }
  await judge(world);
  return world.violations;
};

/** Enough to see what is wrong; more of them only take time to shrink. */
const MAX_VIOLATIONS = 10;

/**
 * Random schedules over the real state machines (promise P8). Stops early when it has found ten violations.
 *
 * @param options.seed schedule n is that of `seed + n`
 * @param options.onProgress called after every hundredth schedule
 */
export const runModel = async (options: {
  schedules: number;
  seed: number;
  onProgress?: (done: number) => void;
  defect?: Defect;
}): Promise<ModelReport> => {
  const { schedules, seed, onProgress, defect } = options;
  const violations: ModelViolation[] = [];
  let steps = 0;
  let done = 0;
  for (; done < schedules && violations.length < MAX_VIOLATIONS; done++) {
    const schedule = generate(seed + done);
    steps += schedule.operations.length;
    const [first] = await runSchedule(schedule, defect);
    if (first) {
      const replay = await shrink(schedule, first.what, (candidate) => runSchedule(candidate, defect));
      const [shrunk = first] = await runSchedule(replay, defect);
      const what = `${shrunk.what}: ${shrunk.detail}`;
      violations.push({ seed: seed + done, what, schedule: describeSchedule(replay), replay });
    }
    if ((done + 1) % 100 === 0) onProgress?.(done + 1);
  }
  return { schedules: done, steps, seed, violations };
};
