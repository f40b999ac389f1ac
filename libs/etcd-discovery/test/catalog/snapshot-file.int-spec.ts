import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import ts from 'typescript';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyReader } from '../../src/catalog/key-reader.js';
import { readSnapshot, removeAbandoned, writeSnapshot } from '../../src/catalog/snapshot-file.js';
import { SnapshotStore } from '../../src/catalog/snapshot-store.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import { systemClock } from '../../src/utils/clock.js';
import { RecordingLog, stored } from '../support/catalog-world.js';
import { seededRandom } from '../support/fake-clock.js';

const KILLS = 50;
const source = new URL('../../src/catalog/snapshot-file.ts', import.meta.url);
const program = new URL('child/write-snapshots.mjs', import.meta.url).pathname;

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'snapshot-int-'));
  path = join(directory, 'snapshot');
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Starts a writer, lets it finish one file, and kills it some time into the next ones; gives the last it finished. */
const killedWhileWriting = async (compiled: string, from: number, afterMs: number): Promise<number> => {
  const child = spawn(process.execPath, [program, compiled, path, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = -1;
  const lines = createInterface({ input: child.stdout }).on('line', (line) => (last = Number(line)));
  await once(lines, 'line');
  await delay(afterMs);
  child.kill('SIGKILL');
  await once(child, 'close');
  return last;
};

describe('a writer that is killed in the middle', () => {
  it(
    `${KILLS} times leaves a whole file each time: the last it finished, or the one after`,
    { timeout: 180_000 },
    async () => {
      // It imports nothing of ours, so that the writer starts in a moment.
      const compiled = join(directory, 'compiled.mjs');
      const options = { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } };
      await writeFile(compiled, ts.transpileModule(await readFile(source, 'utf8'), options).outputText);
      const random = seededRandom(7);
      let cut = 0;
      for (let round = 0; round < KILLS; round += 1) {
        const last = await killedWhileWriting(compiled, round * 1_000, random() * 40);
        const content = (await readSnapshot(path))?.content.toString();
        expect(content?.length).toBeGreaterThan(2_000_000);
        expect([last, last + 1]).toContain(Number(content?.trimEnd().split('\n').at(-1)));
        expect((await stat(path)).mode & 0o777).toBe(0o600);
        cut = (await readdir(directory)).length - 2;
      }
      // Otherwise nothing was shown: the kills have to hit writes.
      expect(cut).toBeGreaterThan(KILLS / 5);
      const old = new Date(Date.now() - 120_000);
      for (const name of await readdir(directory)) await utimes(join(directory, name), old, old);
      await removeAbandoned(path);
      expect((await readdir(directory)).toSorted()).toEqual(['compiled.mjs', 'snapshot']);
      console.log(`${KILLS} kills, ${cut} of them within a write; the file was whole each time`);
    },
  );
});

describe('10,000 instances', () => {
  const reader = new KeyReader('/services', { plainKeys: true });
  const instances = Array.from({ length: 10_000 }, (_, n): ServiceInstance => {
    const id = `instance-${n}`;
    const kv = { key: `/services/s/${id}`, value: Buffer.from(stored('s', id)), version: 1, lease: '7' };
    return reader.read({ ...kv, createRevision: 1, modRevision: n + 1 })!.known.instance!;
  });
  const open = () => {
    const log = new RecordingLog();
    return {
      log,
      store: new SnapshotStore({ path, namespace: '/services', endpoints: ['e:1'], reader, clock: systemClock, log }),
    };
  };

  /** The longest time in which the event loop did not come to a timer, and what the work took. */
  const observed = async (work: () => Promise<void>) => {
    let [longest, last] = [0, performance.now()];
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    const started = performance.now();
    await work();
    // What blocked at the very end shows at the next turn.
    await delay(2);
    clearInterval(timer);
    return { longest, took: performance.now() - started };
  };

  it('are written and read without holding up the event loop', async () => {
    // What is compiled on first use is not what this measures.
    await writeSnapshot(path, ['warm\n']);
    const write = async () => {
      const { store } = open();
      await store.loaded;
      store.learnt('s', [...instances], true);
      await store.close();
    };
    await write();
    const writing = await observed(write);
    const { store, log } = open();
    const reading = await observed(() => store.loaded);
    expect(store.of('s')?.instances.size).toBe(10_000);
    expect(log.lines).toEqual([]);
    const { size } = await stat(path);
    console.log(
      `10,000 instances, ${(size / 1e6).toFixed(1)} MB: written in ${writing.took.toFixed(0)} ms (longest block ` +
        `${writing.longest.toFixed(1)} ms), read in ${reading.took.toFixed(0)} ms (${reading.longest.toFixed(1)} ms)`,
    );
    // One piece would block for the whole of it; room for a busy machine.
    expect(writing.longest).toBeLessThan(Math.max(50, writing.took / 2));
    expect(reading.longest).toBeLessThan(Math.max(50, reading.took / 2));
  });
});
