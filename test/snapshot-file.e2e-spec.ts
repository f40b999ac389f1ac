import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestProcess, eventually } from './support/child-process.js';
import { EtcdServer } from './support/etcd-server.js';

interface Report {
  calls: number;
  failures: string[];
  known: string[];
  file?: string;
}

let etcd: EtcdServer;
let namespace: string;
let directory: string;
let file: string;
let asked = 0;
const processes: TestProcess[] = [];

const start = (fixture: string, args: string[] = [], env: NodeJS.ProcessEnv = {}): TestProcess => {
  const process = TestProcess.node(`dist/test/fixtures/${fixture}.js`, args, {
    APP_ETCD: etcd.endpoint,
    APP_NAMESPACE: namespace,
    APP_SNAPSHOT: file,
    APP_TTL: '2s',
    ...env,
  });
  processes.push(process);
  return process;
};

const startServer = async (id: string): Promise<TestProcess> => {
  const server = start('lifecycle-app', ['micro'], { APP_ID: id });
  await server.message('listening');
  return server;
};

const report = (client: TestProcess): Promise<Report> => {
  const question = `report-${(asked += 1)}`;
  client.child.send(question);
  return client.message<Report & Record<string, unknown>>(question);
};

const knows = (client: TestProcess, ids: readonly string[], timeoutMs = 15_000): Promise<true> =>
  eventually(
    `the client knows ${ids.join(', ') || 'nobody'}`,
    async () => JSON.stringify((await report(client)).known) === JSON.stringify(ids),
    timeoutMs,
    () => JSON.stringify(client.messages.at(-1)),
  ).then(() => true);

const kill = async (process: TestProcess): Promise<void> => {
  process.signal('SIGKILL');
  await process.exit();
};

beforeEach(async () => {
  etcd = await EtcdServer.start();
  namespace = `/e2e-${randomUUID()}`;
  directory = await mkdtemp(join(tmpdir(), 'snapshot-e2e-'));
  file = join(directory, 'snapshot');
});

afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
  await etcd.stop();
  await rm(directory, { recursive: true, force: true });
});

const learnt = async (ids: readonly string[]): Promise<TestProcess> => {
  const client = start('snapshot-client');
  await client.message('first');
  await knows(client, ids);
  await eventually('the file has them all', async () => {
    const text = existsSync(file) ? await readFile(file, 'utf8') : '';
    return ids.every((id) => text.includes(`"id":"${id}"`));
  });
  return client;
};

describe('an application that was killed and starts again while etcd is away', () => {
  it('calls what it knew at once, and equals etcd within 3 s after etcd is back', async () => {
    const [, b] = await Promise.all(['a', 'b'].map(startServer));
    const before = await learnt(['a', 'b']);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await kill(before);
    await etcd.kill();

    const client = start('snapshot-client');
    const first = await client.message<{ tookMs: number; failures: string[] } & Record<string, unknown>>('first');
    expect(first.failures).toEqual([]);
    expect(first.tookMs).toBeLessThan(1_500);
    await eventually('200 calls', async () => (await report(client)).calls > 200);
    const away = await report(client);
    expect(away).toMatchObject({ failures: [], known: ['a?', 'b?'], file });
    expect(client.output).toMatch(/instances of service "echo" come from the snapshot of ".*", \d+ s old/);

    // While nobody can tell the registry: one is gone, and its connection says so.
    await kill(b!);
    await knows(client, ['a?']);
    await etcd.up();
    const back = performance.now();
    await eventually('it watches etcd', async () => (await report(client)).file === undefined, 3_000);
    const tookMs = performance.now() - back;
    await startServer('c');
    await eventually('the list is that of etcd', async () => {
      const keys = await etcd.etcdctl('get', '--prefix', '--keys-only', `${namespace}/echo/`);
      const ids = [...keys.matchAll(/\/echo\/(\w+)/g)].map(([, id]) => id);
      return ids.length === 2 && JSON.stringify((await report(client)).known) === JSON.stringify(ids);
    });
    expect((await report(client)).known).toEqual(['a', 'c']);
    const end = await report(client);
    console.log(
      `first call after ${first.tookMs} ms, ${end.calls} calls, ${end.failures.length} failed, etcd's list ${tookMs.toFixed(0)} ms after it was back`,
    );
    // Without retry a call in flight on the killed instance may fail, and no other.
    expect(end.failures.length).toBeLessThanOrEqual(3);
  });

  it('an etcd that lost its data is believed: the file is never preferred', async () => {
    const servers = await Promise.all(['a', 'b'].map(startServer));
    await kill(await learnt(['a', 'b']));
    await etcd.kill();
    await etcd.wipe();
    const client = start('snapshot-client');
    await client.message('first');
    await knows(client, ['a?', 'b?']);
    for (const server of servers) server.signal('SIGSTOP');
    await etcd.up();
    await knows(client, [], 3_000);
  });

  it('an etcd that is silent costs a second', async () => {
    await startServer('a');
    await kill(await learnt(['a']));
    etcd.pause();
    const client = start('snapshot-client');
    const first = await client.message<{ tookMs: number; failures: string[] } & Record<string, unknown>>('first');
    etcd.resume();
    expect(first.failures).toEqual([]);
    expect(first.tookMs).toBeGreaterThan(900);
    await knows(client, ['a']);
  });
});

describe('an application that is stopped', () => {
  it('leaves the file as of its end', async () => {
    await startServer('a');
    const client = await learnt(['a']);
    await startServer('b');
    await knows(client, ['a', 'b']);
    client.child.send('close');
    expect(await client.exit()).toEqual({ code: 0, signal: null });
    expect(await readFile(file, 'utf8')).toMatch(/"id":"a"[^]*"id":"b"/);
  });
});
