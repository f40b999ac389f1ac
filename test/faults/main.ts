/**
 * `npm run faults`: the fault matrix against a real etcd, with real processes where a row needs them. A progress line
 * per row, a table at the end; exit code 0 only if every row that was asked for holds.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { defects } from './defects/defects.js';
import { runDefects } from './defects/run-defects.js';
import { faultRows } from './rows/index.js';
import type { FaultRow, RowResult } from './support/fault-row.js';
import { rowLine, runRow } from './support/run-row.js';

const usage = `npm run faults -- [options]
  (none)        every row but the long ones
  --row N       only this row; several: --row 9,10 or --row 9 --row 10
  --quick       short leases and outages, and only the rows that take seconds: what CI runs
  --soak        the rows that need ten minutes too
  --defects     puts each seeded defect into a copy of the code and runs the test that is to catch it
  --json FILE   everything that was measured
  --list        the rows`;

const parse = () =>
  parseArgs({
    options: {
      row: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      soak: { type: 'boolean', default: false },
      defects: { type: 'boolean', default: false },
      json: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  }).values;

const chosenRows = ({ row, quick, soak }: ReturnType<typeof parse>): readonly FaultRow[] => {
  if (!row) return faultRows.filter(({ takes }) => (quick ? takes === 'seconds' : soak || takes !== 'soak'));
  return row
    .flatMap((list) => list.split(','))
    .map((id) => {
      const found = faultRows.find((candidate) => candidate.id.toLowerCase() === id.trim().toLowerCase());
      if (!found) {
        throw new Error(
          `--row ${JSON.stringify(id)}: there is no such row; there are ${faultRows.map((r) => r.id).join(', ')}`,
        );
      }
      return found;
    });
};

/** Exit code 0 only if every defect is caught. */
const seededDefects = async (jsonFile?: string): Promise<void> => {
  console.log(`… ${defects.length} defects; first the tests that are to catch them, on sound code`);
  const results = await runDefects(({ name, outcome, by, reason, seconds }) =>
    console.log(`${outcome.padEnd(14)} ${name} [${seconds} s]: ${by}${reason === undefined ? '' : `: ${reason}`}`),
  );
  const caught = results.filter(({ outcome }) => outcome === 'caught').length;
  const ok = caught === results.length;
  if (jsonFile) await writeFile(jsonFile, `${JSON.stringify({ holds: ok, defects: results }, null, 2)}\n`);
  console.log(`defects: ${caught} of ${results.length} caught (goal: all, at least 15): ${ok ? 'holds' : 'MISSED'}`);
  if (!ok) process.exitCode = 1;
};

const table = (results: readonly RowResult[]): string => results.map(rowLine).join('\n');

const summary = (results: readonly RowResult[]): string => {
  const count = (outcome: RowResult['outcome']) => results.filter((result) => result.outcome === outcome).length;
  return `faults: ${results.length} rows: ${count('holds')} hold, ${count('missed')} missed, ${count('failed')} failed, ${count('not injected')} not injected`;
};

const main = async (): Promise<void> => {
  const options = parse();
  if (options.help) return console.log(usage);
  if (options.list) {
    for (const { id, takes, title } of faultRows) console.log(`${id.padEnd(4)} ${takes.padEnd(8)} ${title}`);
    return;
  }
  if (options.defects) return seededDefects(options.json);
  const results: RowResult[] = [];
  const stray: string[] = [];
  // A promise nobody awaits, or an event nobody hears, would end a user's process.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      stray.push(`${event}: ${error instanceof Error ? error.stack : String(error)}`);
      console.error(stray.at(-1));
    });
  }
  for (const row of chosenRows(options)) {
    console.log(`… row ${row.id}: ${row.title}`);
    const strayBefore = stray.length;
    const result = await runRow(row, options);
    const own = stray.slice(strayBefore);
    results.push(own.length > 0 ? { ...result, outcome: 'failed', reason: own.join('\n') } : result);
    console.log(rowLine(results.at(-1)!));
  }
  console.log(`\n${table(results)}\n`);
  const ok = results.length > 0 && results.every(({ outcome }) => outcome === 'holds');
  if (options.json) await writeFile(options.json, `${JSON.stringify({ holds: ok, rows: results }, null, 2)}\n`);
  console.log(`${summary(results)}: ${ok ? 'holds' : 'MISSED'}`);
  if (!ok) process.exitCode = 1;
};

try {
  await main();
  // A row that failed may have left something open; what the library leaves open is measured in row 60.
  process.exit();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  console.error(usage);
  process.exitCode = 2;
}
