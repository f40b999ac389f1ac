import { describe, expect, it } from 'vitest';
import { DEFECTS } from '../libs/etcd-discovery/test/model/defects.js';
import { runReal } from '../libs/etcd-discovery/test/real/run-real.js';
import { realSchedules, schedulesHold, schedulesLine } from './faults/support/schedules.js';

/** `RANDOM_SEED=7 npx vitest …` repeats a run's choices. */
const SEED = Number(process.env.RANDOM_SEED ?? 1);
const SCHEDULES = 12;
/** Batches in which etcd is restored from a backup after the caches have seen more. */
const RESTORED = [25, 1];

/** A part of what `npm run faults -- --random 200` runs; the model has its own spec. */
describe('random schedules against a real etcd', () => {
  it('break no promise', { timeout: 180_000 }, async () => {
    const result = await realSchedules(SCHEDULES, SEED, console.log);
    expect(result.violations.map(({ seed, what, schedule }) => ({ seed, what, schedule }))).toEqual([]);
    expect(result.schedules, schedulesLine(result)).toBe(SCHEDULES);
    expect(schedulesHold(result), schedulesLine(result)).toBe(true);
  });

  it('find a watch that is resumed by its revision', { timeout: 180_000 }, async () => {
    const defect = DEFECTS['a watch that is resumed by its revision']!;
    const found: string[] = [];
    for (const seed of RESTORED) {
      if (found.length > 0) break;
      const { violations } = await runReal({ schedules: 8, seed, defect });
      found.push(...violations.map(({ what }) => what));
    }
    expect(found.join('\n')).toMatch(/^cache differs/m);
  });
});
