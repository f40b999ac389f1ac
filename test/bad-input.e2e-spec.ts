import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { TestProcess } from './support/child-process.js';
import { EtcdServer } from './support/etcd-server.js';
import { freePort } from './support/free-port.js';
import { RawEtcd } from './support/raw-etcd.js';

const SERVER = 'dist/apps/notification-server/src/main.js';
const etcdEndpoint = inject('etcdEndpoint');
const processes: TestProcess[] = [];

const startServer = (env: NodeJS.ProcessEnv): TestProcess => {
  const server = TestProcess.node(SERVER, [], {
    ETCD_ENDPOINTS: etcdEndpoint,
    ETCD_NAMESPACE: `/bad-${randomUUID()}`,
    NOTIFICATION_SERVER_ADDR: '127.0.0.1:0',
    ...env,
  });
  processes.push(server);
  return server;
};

afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
});

describe('the notification server says what is wrong and ends', () => {
  it.each([
    ['a malformed endpoint', { ETCD_ENDPOINTS: 'http://:not-a-port' }, /endpoints.*not-a-port/s],
    ['an address that is none', { NOTIFICATION_SERVER_ADDR: 'somewhere' }, /addr.*somewhere/s],
    ['a service name that cannot be a key', { NOTIFICATION_SERVER_NAME: '../x' }, /name.*\.\.\/x/s],
    ['a service name of 200 characters', { NOTIFICATION_SERVER_NAME: 'x'.repeat(200) }, /name/],
  ])('for %s', async (_, env, message) => {
    const server = startServer(env);
    expect((await server.exit()).code).toBe(1);
    expect(server.output).toMatch(message);
    // Words for a person, not a stack.
    expect(server.output).not.toMatch(/^\s+at .*node_modules/m);
  });

  it('for a port in use, and leaves no key behind', async () => {
    const taken = createServer();
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { port: number }).port));
    });
    const namespace = `/bad-${randomUUID()}`;
    const server = startServer({ NOTIFICATION_SERVER_ADDR: `127.0.0.1:${port}`, ETCD_NAMESPACE: namespace });
    expect((await server.exit()).code).toBe(1);
    expect(server.output).toContain(String(port));
    const raw = new RawEtcd(etcdEndpoint);
    expect(await raw.keys(namespace)).toEqual([]);
    raw.close();
    await new Promise((resolve) => taken.close(resolve));
  });
});

describe('an etcd that does not answer', () => {
  it('does not keep the server from serving; it registers as soon as etcd is there', async () => {
    const port = await freePort();
    const namespace = `/late-${randomUUID()}`;
    const server = startServer({ ETCD_ENDPOINTS: `127.0.0.1:${port}`, ETCD_NAMESPACE: namespace });
    await server.printed(/serving, but not registered yet/);
    const etcd = await EtcdServer.start({ port });
    try {
      const raw = new RawEtcd(etcd.endpoint);
      await expect.poll(async () => (await raw.keys(namespace)).length, { timeout: 10_000 }).toBe(1);
      raw.close();
      server.signal('SIGTERM');
      expect((await server.exit()).signal).toBe('SIGTERM');
    } finally {
      await etcd.stop();
    }
  });

  it('ends a failFast start with a clear error within dialTimeout', async () => {
    const port = await freePort();
    const server = TestProcess.node('dist/test/fixtures/fail-fast-app.js', [], { APP_ETCD: `127.0.0.1:${port}` });
    processes.push(server);
    expect((await server.exit()).code).toBe(1);
    expect(server.output).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}.*failFast`, 's'));
    const { tookMs } = server.messages.find(({ event }) => event === 'failed') as { tookMs: number };
    expect(tookMs).toBeLessThan(3_000);
  });
});

describe('a program that only waits for an answer', () => {
  it.each(['getService', 'waitForService', 'dialService', 'getAllServices'])(
    'gets one from %s while etcd is away, instead of ending without',
    async (method) => {
      const port = await freePort();
      const program = TestProcess.node('dist/test/fixtures/waiting-program.js', [method], {
        APP_ETCD: `127.0.0.1:${port}`,
      });
      processes.push(program);
      expect((await program.exit()).code).toBe(0);
      expect(program.output).toMatch(/^(SERVICE_UNAVAILABLE|TIMEOUT): /m);
    },
  );

  it('waits in startWatch for as long as etcd is away', async () => {
    const port = await freePort();
    const program = TestProcess.node('dist/test/fixtures/waiting-program.js', ['startWatch'], {
      APP_ETCD: `127.0.0.1:${port}`,
    });
    processes.push(program);
    await program.printed(/waiting/);
    const etcd = await EtcdServer.start({ port });
    try {
      await program.printed(/the cache is complete/);
      expect((await program.exit()).code).toBe(0);
    } finally {
      await etcd.stop();
    }
  });
});

describe('a wrong password', () => {
  it('is named as such, without being printed', async () => {
    const etcd = await EtcdServer.start();
    try {
      await etcd.etcdctl('user', 'add', 'root:right');
      await etcd.etcdctl('user', 'grant-role', 'root', 'root');
      await etcd.etcdctl('auth', 'enable');
      const server = TestProcess.node('dist/test/fixtures/fail-fast-app.js', [], {
        APP_ETCD: etcd.endpoint,
        APP_USERNAME: 'root',
        APP_PASSWORD: 'wrong-canary-3141',
      });
      processes.push(server);
      expect((await server.exit()).code).toBe(1);
      expect(server.output).toMatch(/ETCD_AUTH/);
      expect(server.output).not.toContain('wrong-canary-3141');

      // Without failFast the server serves and says the same.
      const serving = startServer({
        ETCD_ENDPOINTS: etcd.endpoint,
        ETCD_USERNAME: 'root',
        ETCD_PASSWORD: 'wrong-canary-3141',
      });
      await serving.printed(/serving, but not registered yet/);
      await serving.printed(/does not accept our credentials.*check etcd\.username and etcd\.password/);
      serving.signal('SIGTERM');
      expect((await serving.exit()).signal).toBe('SIGTERM');
      expect(serving.output).not.toContain('wrong-canary-3141');
    } finally {
      await etcd.stop();
    }
  });
});
