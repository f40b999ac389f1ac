import type { Operation, Schedule } from './operation.js';
import type { Violation } from './stage.js';

/** So many candidates are tried at the most. */
const BUDGET = 400;

/** The shortest schedule found that breaks the same promise: steps are left out, then waits are cut. */
export const shrink = async (
  schedule: Schedule,
  what: string,
  run: (candidate: Schedule) => Promise<readonly Violation[]>,
): Promise<Schedule> => {
  let { operations } = schedule;
  let budget = BUDGET;
  const stillFails = async (candidate: readonly Operation[]): Promise<boolean> => {
    if (budget-- <= 0) return false;
    const violations = await run({ ...schedule, operations: candidate });
    return violations.some((violation) => violation.what === what);
  };

  for (let size = operations.length >> 1; size >= 1;) {
    let smaller = false;
    for (let from = operations.length - size; from > -size; from -= size) {
      const at = Math.max(0, from);
      const candidate = operations.toSpliced(at, size);
      if (candidate.length === operations.length || !(await stillFails(candidate))) continue;
      operations = candidate;
      smaller = true;
    }
    if (size > 1) size >>= 1;
    else if (!smaller || budget <= 0) break;
  }
  for (const [index, operation] of operations.entries()) {
    if (operation.op !== 'wait') continue;
    for (const ms of [1, 10, 100, 1_000, 5_000]) {
      if (ms >= operation.ms) break;
      const candidate = operations.with(index, { op: 'wait', ms });
      if (!(await stillFails(candidate))) continue;
      operations = candidate;
      break;
    }
  }
  return { ...schedule, operations };
};
