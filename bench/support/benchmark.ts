import { writeFile } from 'node:fs/promises';

/** One figure that is held against a goal. */
export interface Goal {
  /** What was measured, in a few words; absent where the benchmark has one figure only. */
  readonly what?: string;
  readonly figure: number;
  readonly goal: number;
  /** Empty for ratios. */
  readonly unit: string;
  /** True when smaller is better and the goal an upper bound. */
  readonly atMost: boolean;
}

export interface BenchmarkResult {
  readonly name: string;
  /** All of them must hold. */
  readonly goals: readonly Goal[];
  /** Everything else that was measured, for the JSON file. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface BenchmarkOptions {
  readonly rounds?: number;
  /** Smaller sizes and shorter runs, for a look in under a minute; the goals are the same. */
  readonly quick?: boolean;
  /** Also what cannot be run on one machine, in virtual time; `herd` only. */
  readonly simulate?: boolean;
}

export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  run(options: BenchmarkOptions): Promise<BenchmarkResult>;
}

/** A figure that is no number was not measured, and what was not measured does not hold. */
export const holds = ({ figure, goal, atMost }: Goal): boolean => (atMost ? figure <= goal : figure >= goal);

const withUnit = (text: string, unit: string): string => (unit === '' ? text : `${text} ${unit}`);

const describe = (goal: Goal): string => {
  const digits = goal.goal < 10 ? 2 : 1;
  const figure = withUnit(goal.figure.toFixed(digits), goal.unit);
  const bound = withUnit(`${goal.atMost ? '≤' : '≥'} ${goal.goal}`, goal.unit);
  return `${goal.what === undefined ? '' : `${goal.what} `}${figure} (goal ${bound})`;
};

const verdict = (ok: boolean): string => (ok ? 'holds' : 'MISSED');

/**
 * Prints each figure against its goal and, as the last line, all of them with the verdict; the exit code says whether
 * every goal holds.
 */
export const report = async (result: BenchmarkResult, jsonFile?: string): Promise<void> => {
  const { name, goals, details } = result;
  const ok = goals.length > 0 && goals.every(holds);
  if (jsonFile) {
    const judged = goals.map((goal) => ({ ...goal, holds: holds(goal) }));
    await writeFile(jsonFile, `${JSON.stringify({ name, holds: ok, goals: judged, details }, null, 2)}\n`);
  }
  if (goals.length > 1) for (const goal of goals) console.log(`${describe(goal)}: ${verdict(holds(goal))}`);
  console.log(`${name}: ${goals.map(describe).join('; ')}: ${verdict(ok)}`);
  if (!ok) process.exitCode = 1;
};
