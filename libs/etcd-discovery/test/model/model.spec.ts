import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFECTS } from './defects.js';
import { generate } from './generate.js';
import { describeSchedule, type Schedule } from './operation.js';
import { runModel, runSchedule } from './run-model.js';

/** `MODEL_SEED=7 npx vitest …` repeats a run; `MODEL_SCHEDULES` makes it longer. */
const SEED = Number(process.env.MODEL_SEED ?? 1);
const SCHEDULES = Number(process.env.MODEL_SCHEDULES ?? 1_500);
/** Few enough for a moment, enough for each of the defects. */
const UNTIL_FOUND = 400;

const CORPUS = new URL('corpus/', import.meta.url);

interface Kept {
  /** What was broken, and why. */
  readonly what: string;
  readonly schedule: Schedule;
}

const kept = readdirSync(CORPUS).map((file): [string, Kept] => [
  file.replace(/\.json$/, ''),
  JSON.parse(readFileSync(new URL(file, CORPUS), 'utf8')) as Kept,
]);

describe('the model: registrations and caches under random faults', () => {
  it.each(kept)('corpus: %s', async (_, { what, schedule }) => {
    expect(await runSchedule(schedule), what).toEqual([]);
  });

  it('the same seed gives the same run', async () => {
    expect(generate(5)).toEqual(generate(5));
    const [one, two] = [await runModel({ schedules: 30, seed: 5 }), await runModel({ schedules: 30, seed: 5 })];
    expect(one).toEqual(two);
  });

  it('no schedule breaks a promise', { timeout: 300_000 }, async () => {
    console.log(`model: ${SCHEDULES} schedules from seed ${SEED}`);
    const { schedules, violations } = await runModel({ schedules: SCHEDULES, seed: SEED });
    expect(
      violations.map(({ seed, what, schedule, replay }) => ({ seed, what, schedule, replay: JSON.stringify(replay) })),
    ).toEqual([]);
    expect(schedules).toBe(SCHEDULES);
  });

  describe('finds the defect', () => {
    it.each(Object.entries(DEFECTS))('%s', { timeout: 120_000 }, async (_, { breaks, ...defect }) => {
      let found: string[] = [];
      for (let seed = 1; seed <= UNTIL_FOUND && !found.some((what) => breaks.test(what)); seed++) {
        found = (await runSchedule(generate(seed), defect)).map(({ what }) => what);
      }
      expect(found.find((what) => breaks.test(what))).toBeDefined();
    });
  });

  it('shrinks what it finds to the steps that matter', { timeout: 120_000 }, async () => {
    const { breaks: _, ...defect } = DEFECTS['keys put without a lease']!;
    const { violations } = await runModel({ schedules: 1, seed: 1, defect });
    expect(violations[0]?.what).toMatch(/^no lease/);
    // The setting, and one registration.
    expect(violations[0]?.schedule).toHaveLength(2);
    expect(describeSchedule(violations[0]!.replay)).toEqual(violations[0]?.schedule);
  });
});
