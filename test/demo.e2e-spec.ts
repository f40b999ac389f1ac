import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { eventually, TestProcess } from './support/child-process.js';
import { findEtcd } from './support/etcd-binary.js';
import { freePort } from './support/free-port.js';
import { RawEtcd } from './support/raw-etcd.js';

interface Results {
  readonly etcd: { readonly kind: string };
  readonly firstCallMs: number;
  readonly phases: readonly {
    readonly name: string;
    readonly calls: number;
    readonly failed: number;
    readonly allClientsHadTheChangeAfterMs: number | null;
    readonly errors: object;
  }[];
  readonly verdict: { readonly ok: boolean; readonly details: readonly string[] };
}

const etcdEndpoint = inject('etcdEndpoint');
const running: TestProcess[] = [];
let directory: string;

const demo = (args: readonly string[], env: NodeJS.ProcessEnv): TestProcess => {
  const process = TestProcess.node('dist/apps/demo/src/main.js', args, { ETCD_ENDPOINTS: '', ETCD_BIN: '', ...env });
  running.push(process);
  return process;
};

/** Every process of the run: etcd, servers, clients. */
const processIds = (output: string): number[] => [
  ...new Set([...output.matchAll(/\(pid (\d+)/g)].map(([, pid]) => Number(pid))),
];

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'demo-test-'));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((process) => process.dispose()));
  await rm(directory, { recursive: true, force: true });
});

/** With nothing but Node on PATH there is no etcd to be found. */
const withoutEtcd = { PATH: join(process.execPath, '..', 'nowhere') };

describe('a day in production', () => {
  it.each([
    ['a real etcd', async () => ({ ETCD_BIN: (await findEtcd()).etcd }), 'binary'],
    ['no etcd installed', () => Promise.resolve(withoutEtcd), 'embedded'],
  ])('passes without a failed call with %s', async (_, environment, kind) => {
    const file = join(directory, 'demo.json');
    const run = demo(['--phase-seconds', '3', '--rps', '100', '--json', file], await environment());
    const { code } = await run.exit(110_000);
    expect(code, run.output).toBe(0);
    const results = JSON.parse(await readFile(file, 'utf8')) as Results;
    expect(results.verdict).toMatchObject({ ok: true, details: [] });
    expect(results.etcd.kind).toBe(kind);
    expect(results.phases.map(({ name }) => name)).toEqual(['start', 'steady', 'join', 'rolling', 'kill', 'etcd']);
    for (const phase of results.phases) {
      expect(phase).toMatchObject({ failed: 0, errors: {} });
      expect(phase.calls).toBeGreaterThan(0);
    }
    const changes = results.phases.filter((phase) => phase.allClientsHadTheChangeAfterMs !== null);
    expect(changes.map(({ name }) => name)).toEqual(['join', 'rolling', 'kill']);
    expect(run.output).toMatch(/etcdctl --endpoints=127\.0\.0\.1:\d+ get \/services\/ --prefix/);
    expect(run.output).not.toContain('\x1b');
    expect(processIds(run.output).filter(alive)).toEqual([]);
  });

  it('leaves nothing in an etcd that is not its own, and does not restart it', async () => {
    const file = join(directory, 'demo.json');
    const args = ['--phase-seconds', '1', '--instances', '1', '--clients', '1', '--rps', '50', '--json', file];
    const run = demo(args, { ETCD_ENDPOINTS: etcdEndpoint });
    const { code } = await run.exit(90_000);
    expect(code, run.output).toBe(0);
    const results = JSON.parse(await readFile(file, 'utf8')) as Results;
    expect(results.phases.map(({ name }) => name)).toEqual(['start', 'steady', 'join', 'rolling', 'kill']);
    const [, namespace] = /namespace (\/demo-\S+)\/services/.exec(run.output) ?? [];
    expect(namespace).toBeDefined();
    const raw = new RawEtcd(etcdEndpoint);
    expect(await raw.keys(namespace ?? '/demo-')).toEqual([]);
    raw.close();
  });
});

describe('a demo that is interrupted', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGKILL', null],
  ] as const)('by %s leaves no process behind', async (signal, code) => {
    const run = demo(['--phase-seconds', '5'], withoutEtcd);
    await run.printed(/phase "steady load"/, 40_000);
    const pids = processIds(run.output);
    expect(pids.filter(alive)).toHaveLength(6);
    run.signal(signal);
    expect((await run.exit(30_000)).code).toBe(code);
    await eventually('every process has ended', () => pids.every((pid) => !alive(pid)), 20_000);
    if (signal !== 'SIGKILL')
      expect(run.output).toMatch(/Interrupted: not all phases were played\. 0 of \d+ calls failed\./);
  });
});

describe('an etcd that somebody named', () => {
  it('and that does not answer ends the run before anything is started', async () => {
    const port = await freePort();
    const run = demo([], { ETCD_ENDPOINTS: `127.0.0.1:${port}` });
    expect((await run.exit(20_000)).code).toBe(1);
    expect(run.output).toMatch(new RegExp(`the etcd at 127\\.0\\.0\\.1:${port} \\(ETCD_ENDPOINTS\\).*cannot be used`));
    expect(run.output).not.toContain('server 1 starts');
  });
});

describe('the command line', () => {
  it('explains itself', async () => {
    const run = demo(['--help'], {});
    expect((await run.exit()).code).toBe(0);
    expect(run.output).toContain('--phase-seconds N');
  });

  it('says what is wrong with it', async () => {
    const run = demo(['--rps', 'many'], {});
    expect((await run.exit()).code).toBe(2);
    expect(run.output).toContain('--rps: expected a whole number from 1 to 5000, got "many"');
  });
});
