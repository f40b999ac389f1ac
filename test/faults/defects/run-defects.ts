import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../../support/child-process.js';
import { type Defect, defects } from './defects.js';

const LIBRARY = join('libs', 'etcd-discovery');
/** What the tests of the library need beside node_modules. */
const NEEDED = ['libs', 'test', 'proto', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
/** A defect may make a test hang; its own timeout ends it long before. */
const RUN_TIMEOUT_MS = 300_000;

export interface DefectResult {
  readonly name: string;
  readonly outcome: 'caught' | 'not caught' | 'not applicable';
  readonly by: string;
  readonly reason?: string;
  readonly seconds: number;
}

interface TestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

const pathOf = ({ file }: Defect): string => join(LIBRARY, 'src', file);

/** The defective text; throws when the place is not there, or not the only one. */
export const withDefect = ({ name, file, find, replace }: Defect, source: string): string => {
  const places = source.split(find).length - 1;
  if (places !== 1)
    throw new Error(`defect "${name}": ${places} places in ${file}, expected one; the code has moved on`);
  return source.replace(find, () => replace);
};

/** Runs the named tests in a copy of the workspace and returns how each ended. */
const runTests = async (
  root: string,
  project: string,
  file: string,
  tests: readonly string[],
): Promise<{ fullName: string; status: string }[]> => {
  const report = join(root, 'report.json');
  await rm(report, { force: true });
  const pattern = tests.map((test) => test.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = ['run', '--project', project, join(LIBRARY, file), '-t', pattern];
  await new Promise<void>((resolve) => {
    const options = { cwd: root, timeout: RUN_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024 };
    // A failing test is what is hoped for; how it ended is in the report.
    execFile(process.execPath, [vitest, ...args, '--reporter=json', `--outputFile=${report}`], options, () =>
      resolve(),
    );
  });
  const { testResults } = JSON.parse(await readFile(report, 'utf8')) as TestReport;
  return testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ fullName, status }) => status !== 'skipped' && tests.some((test) => fullName.includes(test)));
};

const judge = async (root: string, defect: Defect): Promise<Pick<DefectResult, 'outcome' | 'reason'>> => {
  const path = join(root, pathOf(defect));
  const sound = await readFile(path, 'utf8');
  const { project, file, test } = defect.caughtBy;
  try {
    await writeFile(path, withDefect(defect, sound));
    const ran = await runTests(root, project, file, [test]);
    if (ran.length === 0)
      return { outcome: 'not applicable', reason: 'the test did not run: the code cannot be loaded' };
    return { outcome: ran.some(({ status }) => status === 'failed') ? 'caught' : 'not caught' };
  } catch (error) {
    return { outcome: 'not applicable', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    await writeFile(path, sound);
  }
};

/** All named tests of sound code: a test that fails anyway catches nothing. */
const failingAnyway = async (root: string, chosen: readonly Defect[]): Promise<Set<string>> => {
  const failing = new Set<string>();
  for (const file of new Set(chosen.map(({ caughtBy }) => caughtBy.file))) {
    const here = chosen.map(({ caughtBy }) => caughtBy).filter((caughtBy) => caughtBy.file === file);
    const ran = await runTests(
      root,
      here[0]!.project,
      file,
      here.map(({ test }) => test),
    );
    for (const { test } of here) {
      const own = ran.filter(({ fullName }) => fullName.includes(test));
      if (own.length === 0 || own.some(({ status }) => status !== 'passed')) failing.add(`${file} ${test}`);
    }
  }
  return failing;
};

/** Puts each defect into a copy of the workspace, one at a time, and runs the test that is to catch it. */
export const runDefects = async (
  onResult: (result: DefectResult) => void,
  chosen: readonly Defect[] = defects,
): Promise<DefectResult[]> => {
  const root = await mkdtemp(join(tmpdir(), 'etcd-discovery-defects-'));
  const results: DefectResult[] = [];
  try {
    for (const name of NEEDED) await cp(join(repositoryRoot, name), join(root, name), { recursive: true });
    await symlink(join(repositoryRoot, 'node_modules'), join(root, 'node_modules'));
    const failing = await failingAnyway(root, chosen);
    for (const defect of chosen) {
      const startedAt = performance.now();
      const { file, test } = defect.caughtBy;
      const verdict = failing.has(`${file} ${test}`)
        ? ({ outcome: 'not applicable', reason: 'the test does not pass without the defect' } as const)
        : await judge(root, defect);
      const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
      results.push({ name: defect.name, by: `${file}: ${test}`, ...verdict, seconds });
      onResult(results.at(-1)!);
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  return results;
};
