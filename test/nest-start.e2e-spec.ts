import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { TestProcess, eventually, repositoryRoot } from './support/child-process.js';
import { etcdctl } from './support/etcd-server.js';
import { RawEtcd } from './support/raw-etcd.js';

const etcdEndpoint = inject('etcdEndpoint');
const NEST = join(repositoryRoot, 'node_modules', '.bin', 'nest');
let namespace: string;
let raw: RawEtcd;
const processes: TestProcess[] = [];

const environment = () => ({
  ETCD_ENDPOINTS: etcdEndpoint,
  ETCD_NAMESPACE: namespace,
  NOTIFICATION_SERVER_ADDR: '127.0.0.1:0',
});

const start = (command: string, args: string[]): TestProcess => {
  const started = TestProcess.command(command, args, environment());
  processes.push(started);
  return started;
};

/** Every process whose ancestor is `pid`, from /proc. */
const descendants = async (pid: number): Promise<number[]> => {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const direct = children.split(' ').filter(Boolean).map(Number);
  return [...direct, ...(await Promise.all(direct.map(descendants))).flat()];
};

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const registered = async () =>
  eventually(
    'the instance is in etcd',
    async () => (await raw.keys(`${namespace}/`))[0],
    60_000,
    () => processes.at(-1)?.output ?? '',
  );

beforeEach(() => {
  namespace = `/nest-start-${randomUUID()}`;
  raw = new RawEtcd(etcdEndpoint);
});

afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
  raw.close();
});

describe('nest start notification-server', () => {
  it('shows the instance to etcdctl under a lease of 10 s, and leaves on SIGTERM to nest', async () => {
    const nest = start(NEST, ['start', 'notification-server']);
    const { key, lease } = await registered();
    expect(
      await etcdctl(etcdEndpoint, ['get', `${namespace}/notification-server/`, '--prefix', '--keys-only']),
    ).toContain(key);
    expect(await etcdctl(etcdEndpoint, ['lease', 'timetolive', BigInt(lease).toString(16)])).toMatch(
      /granted with TTL\(10s\)/,
    );
    const all = await descendants(nest.pid);
    expect(all.length).toBeGreaterThan(0);
    nest.signal('SIGTERM');
    await eventually(
      'etcd is left',
      async () => (await raw.keys(`${namespace}/`)).length === 0,
      15_000,
      () => nest.output,
    );
    await eventually('every process has ended', () => all.every((pid) => !alive(pid)), 15_000);
    await eventually('the lease is revoked', async () => !(await raw.leases()).includes(lease));
  });

  it('leaves once, and everything ends, on Ctrl+C, which signals the whole process group', async () => {
    const nest = TestProcess.group(NEST, ['start', 'notification-server'], environment());
    processes.push(nest);
    const { lease } = await registered();
    const all = await descendants(nest.pid);
    process.kill(-nest.pid, 'SIGINT');
    await eventually(
      'etcd is left',
      async () => (await raw.keys(`${namespace}/`)).length === 0,
      15_000,
      () => nest.output,
    );
    await eventually('every process has ended', () => all.every((pid) => !alive(pid)), 15_000);
    expect(await raw.leases()).not.toContain(lease);
    // Ctrl+C reaches nest and the application: that must not count as a second signal.
    expect(nest.output).not.toContain('second signal');
  });

  it.each([
    ['npx', ['nest', 'start', 'notification-server']],
    ['npm', ['start']],
  ])('leaves no orphan behind when %s is killed', async (command, args) => {
    const parent = start(command, args);
    const { lease } = await registered();
    const all = await descendants(parent.pid);
    expect(all.length).toBeGreaterThan(0);
    parent.signal('SIGTERM');
    await eventually(
      'etcd is left',
      async () => (await raw.keys(`${namespace}/`)).length === 0,
      20_000,
      () => parent.output,
    );
    await eventually('every process has ended', () => all.every((pid) => !alive(pid)), 20_000);
    expect(await raw.leases()).not.toContain(lease);
  });
});

describe('nest start demo-client', () => {
  it('calls the server through etcd and stops on SIGTERM', async () => {
    const server = TestProcess.node('dist/apps/notification-server/src/main.js', [], environment());
    processes.push(server);
    await registered();
    const nest = start(NEST, ['start', 'demo-client']);
    await nest.printed(/\b[1-9]\d* calls/, 60_000);
    const all = await descendants(nest.pid);
    nest.signal('SIGTERM');
    await eventually('every process has ended', () => all.every((pid) => !alive(pid)), 15_000);
  });
});
