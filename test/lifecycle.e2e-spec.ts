import { Test } from '@nestjs/testing';
import type { INestApplicationContext } from '@nestjs/common';
import { EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { TestProcess, eventually } from './support/child-process.js';
import { type EchoClient, SteadyLoad, echoClient, say } from './support/echo-client.js';
import { RawEtcd } from './support/raw-etcd.js';

const FIXTURE = 'dist/test/fixtures/lifecycle-app.js';
const GRPC_STYLES = ['micro', 'hybrid', 'hybrid-listen-first', 'hybrid-init-first', 'hybrid-defer'] as const;

const etcdEndpoint = inject('etcdEndpoint');
const processes: TestProcess[] = [];
const clients: EchoClient[] = [];
let raw: RawEtcd;
let namespace: string;

const start = (mode: string, env: NodeJS.ProcessEnv = {}): TestProcess => {
  const process = TestProcess.node(FIXTURE, [mode], { APP_ETCD: etcdEndpoint, APP_NAMESPACE: namespace, ...env });
  processes.push(process);
  return process;
};

const client = (target: string, options?: object): EchoClient => {
  const made = echoClient(target, options);
  clients.push(made);
  return made;
};

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

const onlyKey = async () => {
  const keys = await raw.keys(`${namespace}/`);
  expect(keys).toHaveLength(1);
  return keys[0]!;
};

const portOf = (address: unknown): number => Number(String(address).split(':').at(-1));

beforeEach(() => {
  raw = new RawEtcd(etcdEndpoint);
  namespace = `/e2e-${randomUUID()}`;
});

afterEach(async () => {
  for (const made of clients.splice(0)) made.close();
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
  raw.close();
});

describe.each(GRPC_STYLES)('an application of style %s', (style) => {
  it.each(['SIGTERM', 'close'] as const)(
    'is registered after bind and removed, by %s, while it still serves',
    async (how) => {
      const app = start(style);
      // Never in etcd before the port accepts: looked at as soon as the key is there.
      const key = await eventually(
        'a key in etcd',
        async () => (await raw.keys(`${namespace}/`))[0],
        20_000,
        () => app.output,
      );
      const port = portOf(key.value.Addr);
      expect(await accepts(port)).toBe(true);
      await app.message('listening');
      expect(await raw.keys(`${namespace}/`)).toHaveLength(1);
      expect(await raw.grantedTtl(key.lease)).toBe(10);

      const direct = client(`127.0.0.1:${port}`);
      await say(direct, 'before');
      if (how === 'close') app.child.send('close');
      else app.signal('SIGTERM');

      await eventually(
        'the key is gone',
        async () => (await raw.keys(`${namespace}/`)).length === 0,
        5_000,
        () => app.output,
      );
      // A new connection, as a client makes that has not heard of it yet.
      expect(
        (await say(client(`127.0.0.1:${port}`, { 'grpc.use_local_subchannel_pool': 1 }), 'after removal')).text,
      ).toBe('after removal');
      const { code, signal } = await app.exit();
      expect(how === 'close' ? code : signal).toBe(how === 'close' ? 0 : 'SIGTERM');
      expect(await raw.leases()).not.toContain(key.lease);
    },
  );

  it('serves its last call before the resource that the call needs is closed', async () => {
    const app = start(style, { APP_DRAIN_TIMEOUT: '5s' });
    await app.message('listening');
    const port = portOf((await onlyKey()).value.Addr);
    const direct = client(`127.0.0.1:${port}`);
    await say(direct, 'warm');
    // Longer than the propagation wait: it is in flight when the server stops taking calls.
    const last = say(direct, 'last', 2_500, 10_000);
    await say(direct, 'the slow one is on its way');
    app.signal('SIGTERM');
    expect((await last).text).toBe('last');
    await app.exit();
    expect(app.messages.find(({ event }) => event === 'resource-closed')).toMatchObject({ served: 3 });
  });

  it('exits within its bound with a stream open', async () => {
    const app = start(style, { APP_PROPAGATION_WAIT: '200ms', APP_DRAIN_TIMEOUT: '1s' });
    await app.message('listening');
    const stream = client(`127.0.0.1:${portOf((await onlyKey()).value.Addr)}`).stream({ text: 'endless' });
    const ended = new Promise<string>((resolve) => {
      stream.once('error', (error) => resolve(error.message));
      stream.once('end', () => resolve('end'));
    });
    await new Promise((resolve) => stream.once('data', resolve));
    stream.resume();
    const begun = performance.now();
    app.signal('SIGTERM');
    expect((await app.exit(10_000)).signal).toBe('SIGTERM');
    // 0.2 s propagation + 1 s drain; the rest is room for a busy machine. An unbounded drain would never end.
    expect(performance.now() - begun).toBeLessThan(6_000);
    expect(await ended).not.toBe('');
  });
});

describe('a rolling restart', () => {
  let context: INestApplicationContext;

  beforeEach(async () => {
    const module = await Test.createTestingModule({
      imports: [EtcdDiscoveryModule.forRoot({ namespace, etcd: { endpoints: etcdEndpoint } })],
    }).compile();
    context = await module.init();
  });

  afterEach(() => context.close());

  it.each(GRPC_STYLES)('of %s applications fails no call, of a client without retry', async (style) => {
    const running = [start(style), start(style), start(style)];
    await Promise.all(running.map((app) => app.message('listening')));
    const through = client('etcd:///echo');
    await say(through, 'first', 0, 10_000);
    const load = new SteadyLoad((text) => say(through, text, 5), 100);
    for (const [index, app] of running.entries()) {
      const replacement = start(style);
      await replacement.message('listening');
      if (index % 2 === 0) app.signal('SIGTERM');
      else app.child.send('close');
      await app.exit();
    }
    const { calls, failures, perInstance } = await load.stop();
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(300);
    expect(perInstance.size).toBeGreaterThanOrEqual(5);
  });
});

describe('a TCP application', () => {
  it('is registered with the port it is bound to and leaves while that port still accepts', async () => {
    const app = start('tcp');
    await app.message('listening');
    const { value, lease } = await onlyKey();
    expect(value.endpoints).toEqual([`tcp://${String(value.Addr)}`]);
    const port = portOf(value.Addr);
    app.signal('SIGTERM');
    await eventually('the key is gone', async () => (await raw.keys(`${namespace}/`)).length === 0, 5_000);
    expect(await accepts(port)).toBe(true);
    expect((await app.exit()).signal).toBe('SIGTERM');
    expect(await raw.leases()).not.toContain(lease);
  });
});

describe('a registration whose counterpart never comes', () => {
  it('without a server of its transport: the log names both after 10 s', async () => {
    const app = start('tcp', { APP_TRANSPORT: 'grpc' });
    await app.message('listening');
    const [line] = await app.printed(/registration "echo" has no server.*/);
    expect(line).toMatch(/needs a grpc server.*tcp on port \d+/);
    expect(await raw.keys(`${namespace}/`)).toEqual([]);
  });

  it('with a bound server but an application that is never initialized: the log says what to call', async () => {
    const app = start('hybrid-never-init');
    await app.message('listening');
    await app.printed(/bound on port \d+, but the application was never initialized.*app\.init\(\)/);
    expect(await raw.keys(`${namespace}/`)).toEqual([]);
  });
});

describe('an application that forgets enableShutdownHooks()', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'still leaves etcd on %s, says so once, and ends by the signal',
    async (signal) => {
      const app = start('micro', { APP_FORGETS_HOOKS: '1' });
      await app.message('listening');
      const { lease } = await onlyKey();
      app.signal(signal);
      expect((await app.exit()).signal).toBe(signal);
      expect(await raw.keys(`${namespace}/`)).toEqual([]);
      expect(await raw.leases()).not.toContain(lease);
      expect(app.output.match(/enableShutdownHooks\(\)/g)).toHaveLength(1);
    },
  );
});

describe('two applications in one process', () => {
  it.each([
    ['both', {}],
    ['neither', { APP_FORGETS_HOOKS: '1' }],
  ])('leave on one signal, with the shutdown hooks of %s', async (_, env) => {
    const app = start('micro', { APP_TWICE: '1', ...env });
    await app.message('listening');
    const keys = await raw.keys(`${namespace}/`);
    expect(keys).toHaveLength(2);
    app.signal('SIGTERM');
    expect((await app.exit()).signal).toBe('SIGTERM');
    expect(await raw.keys(`${namespace}/`)).toEqual([]);
    const leases = await raw.leases();
    for (const { lease } of keys) expect(leases).not.toContain(lease);
  });
});

describe('a second signal', () => {
  it('hastens the end, unless it comes right behind the first, as wrappers send it', async () => {
    const app = start('micro', { APP_PROPAGATION_WAIT: '60s' });
    await app.message('listening');
    app.signal('SIGINT');
    app.signal('SIGTERM');
    await eventually('the key is gone', async () => (await raw.keys(`${namespace}/`)).length === 0, 5_000);
    expect(app.running).toBe(true);
    expect(app.output).not.toContain('second signal');
    // Somebody who does not want to wait sends it again.
    await eventually(
      'the application ends',
      () => {
        if (app.running) app.signal('SIGTERM');
        return !app.running;
      },
      10_000,
    );
    expect(app.output.match(/second signal/g)).toHaveLength(1);
  });
});

describe('a killed application', () => {
  it('is gone when its lease ends, and not before it is dead', async () => {
    const app = start('micro');
    await app.message('listening');
    await onlyKey();
    app.signal('SIGKILL');
    const killed = performance.now();
    await app.exit();
    await eventually('the key expires', async () => (await raw.keys(`${namespace}/`)).length === 0, 15_000);
    // TTL + 1 s, and half a second for the poll on a busy machine.
    expect(performance.now() - killed).toBeLessThan(11_500);
  });
});
