import { writeFile } from 'node:fs/promises';

export interface BenchmarkResult {
  readonly name: string;
  /** The figure that is held against the goal. */
  readonly figure: number;
  readonly goal: number;
  readonly unit: string;
  /** True when smaller is better and the goal an upper bound. */
  readonly atMost: boolean;
  /** Everything else that was measured, for the JSON file. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface BenchmarkOptions {
  readonly rounds?: number;
}

export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  run(options: BenchmarkOptions): Promise<BenchmarkResult>;
}

export const holds = ({ figure, goal, atMost }: BenchmarkResult): boolean => (atMost ? figure <= goal : figure >= goal);

/** Prints the figure against the goal as the last line; the exit code says whether it holds. */
export const report = async (result: BenchmarkResult, jsonFile?: string): Promise<void> => {
  const ok = holds(result);
  if (jsonFile) await writeFile(jsonFile, `${JSON.stringify({ ...result, holds: ok }, null, 2)}\n`);
  console.log(
    `${result.name}: ${result.figure.toFixed(1)} ${result.unit} (goal ${result.atMost ? '≤' : '≥'} ${result.goal} ${result.unit}): ${ok ? 'holds' : 'MISSED'}`,
  );
  if (!ok) process.exitCode = 1;
};
