import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defects } from './faults/defects/defects.js';
import { runDefects, withDefect } from './faults/defects/run-defects.js';
import { repositoryRoot } from './support/child-process.js';

const library = join(repositoryRoot, 'libs', 'etcd-discovery');

describe('the seeded defects', () => {
  it('are at least fifteen', () => expect(defects.length).toBeGreaterThanOrEqual(15));

  it.each(defects)('$name: has its place in the code, and its test', async (defect) => {
    const source = await readFile(join(library, 'src', defect.file), 'utf8');
    expect(withDefect(defect, source)).not.toBe(source);
    const spec = await readFile(join(library, defect.caughtBy.file), 'utf8');
    expect(spec.replaceAll(/\s+/g, ' ')).toContain(defect.caughtBy.test);
  });

  // All of them take two minutes: `npm run faults -- --defects`.
  it('are caught: two of them, as the command does it', async () => {
    const two = defects.filter(({ name }) => name === 'suspect rule off' || name === 'no revision check');
    const results = await runDefects(() => {}, two);
    expect(results.map(({ outcome }) => outcome)).toEqual(['caught', 'caught']);
  });

  it('are told from sound code', async () => {
    const [defect] = defects.filter(({ name }) => name === 'suspect rule off');
    const harmless = { ...defect!, replace: defect!.find };
    const [result] = await runDefects(() => {}, [harmless]);
    expect(result?.outcome).toBe('not caught');
  });
});
