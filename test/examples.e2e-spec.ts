import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { TestProcess, repositoryRoot } from './support/child-process.js';
import { RawEtcd } from './support/raw-etcd.js';

/** What a reader sees, line by line; the first line says which etcd it was. */
const EXPECTED: Readonly<Record<string, readonly RegExp[]>> = {
  'get-service': [
    /^greeter is at 127\.0\.0\.1:\d+, zone a, weight 10$/,
    /^service "nobody" has no live instance at etcd revision \d+/,
  ],
  'get-service-list': [/^greeter is in zones a, b, c$/, /^all services: greeter: 3$/],
  'watch-service': [/^added zone a$/, /^added zone b$/, /^removed zone a \(drained\)$/, /^3 events$/],
  'dial-service': [/^Hello, Ada!$/],
  'wait-for-service': [/^2 greeters are there$/, /^gave up: service "nobody" has 0 of 1 instance after 200 ms/],
  'cached-service': [/^1000 lookups found zones a, b$/, /^a service that is not watched: undefined$/],
  'complete-workflow': [
    /^one instance: zone a answers$/,
    /^a second one joined: zones a, b answer$/,
    /^the first one left: zone b answers$/,
  ],
};

const etcdEndpoint = inject('etcdEndpoint');
let raw: RawEtcd;
const processes: TestProcess[] = [];

const run = async (example: string, env: NodeJS.ProcessEnv): Promise<{ lines: string[]; pid: number }> => {
  const program = TestProcess.node(`dist/examples/${example}.js`, [], env);
  processes.push(program);
  const exit = await program.exit(60_000);
  expect(exit, program.output).toEqual({ code: 0, signal: null });
  return { lines: program.output.trimEnd().split('\n'), pid: program.pid };
};

const expectLines = (lines: readonly string[], expected: readonly RegExp[]) => {
  expect(lines, lines.join('\n')).toHaveLength(expected.length);
  for (const [index, pattern] of expected.entries()) expect(lines[index]).toMatch(pattern);
};

beforeAll(() => {
  // A proxy is worth a warning of the library, and would take our own look into etcd elsewhere.
  for (const name of ['http_proxy', 'https_proxy', 'grpc_proxy']) vi.stubEnv(name, undefined);
  raw = new RawEtcd(etcdEndpoint);
});

afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
});

afterAll(() => {
  raw.close();
  vi.unstubAllEnvs();
});

describe('the examples', () => {
  it('are all executed here', async () => {
    const files = await readdir(join(repositoryRoot, 'examples'));
    const programs = files.filter((file) => file.endsWith('.ts') && file !== 'support.ts');
    expect(programs.map((file) => basename(file, '.ts')).toSorted()).toEqual(Object.keys(EXPECTED).toSorted());
  });

  it.each(Object.entries(EXPECTED))(
    '%s prints its result on a real etcd and leaves nothing behind',
    async (name, expected) => {
      const leasesBefore = await raw.leases();
      const { lines, pid } = await run(name, { ETCD_ENDPOINTS: etcdEndpoint });
      expectLines(lines, [new RegExp(`^etcd: ${etcdEndpoint.replaceAll('.', '\\.')}$`), ...expected]);
      expect(await raw.keys(`/examples-${pid}/`)).toEqual([]);
      expect((await raw.leases()).filter((lease) => !leasesBefore.includes(lease))).toEqual([]);
    },
  );

  it('run without any etcd, on one of their own', async () => {
    const { lines } = await run('complete-workflow', { ETCD_ENDPOINTS: '' });
    expectLines(lines, [/^etcd: embedded$/, ...EXPECTED['complete-workflow']!]);
  });

  it('say so and fail when the etcd they were given does not answer', async () => {
    const program = TestProcess.node('dist/examples/get-service.js', [], { ETCD_ENDPOINTS: '127.0.0.1:1' });
    processes.push(program);
    expect((await program.exit(60_000)).code).not.toBe(0);
    expect(program.output).toMatch(/127\.0\.0\.1:1/);
  });
});
