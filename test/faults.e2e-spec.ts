import { describe, expect, it } from 'vitest';
import { faultRows } from './faults/rows/index.js';
import { rowLine, runRow } from './faults/support/run-row.js';

/** The rows that take seconds, as `npm run faults -- --quick` runs them; `npm run faults` runs the whole matrix. */
describe('the fault matrix', () => {
  for (const row of faultRows.filter(({ takes }) => takes === 'seconds')) {
    it(`row ${row.id}: ${row.title}`, { timeout: (row.timeoutMs ?? 180_000) + 90_000 }, async ({ skip }) => {
      const result = await runRow(row, { quick: true, soak: false });
      console.log(rowLine(result));
      skip(result.outcome === 'not injected', result.reason);
      expect(result.outcome, rowLine(result)).toBe('holds');
    });
  }
});
