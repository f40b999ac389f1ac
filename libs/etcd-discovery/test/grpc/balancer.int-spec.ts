import { Metadata, credentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { balancers } from '../../src/balancing/balancer-directory.js';
import { definePicker } from '../../src/balancing/picker-registry.js';
import { connections } from '../../src/catalog/connection-directory.js';
import { defaultChannelOptions, etcdTarget } from '../../src/grpc/client/dial.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import { type CallFailure, EchoClient, EchoServer, type EchoStub, callUnary } from './support/echo-server.js';
import { FakeConnection, instanceOf } from './support/fake-connection.js';
import { SteadyLoad } from './support/steady-load.js';

let connection: FakeConnection;
let close: () => void;
const servers: EchoServer[] = [];
const clients: EchoStub[] = [];

beforeEach(() => {
  connection = new FakeConnection();
  close = connections.open(connection);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  close();
  await connection.catalog.close();
  for (const server of servers.splice(0)) server.kill();
  expect(connection.catalog.open).toBe(0);
  expect(balancers.describe('default', 'echo')).toEqual([]);
});

const start = async (...ids: string[]): Promise<EchoServer[]> => {
  const started = await Promise.all(ids.map((id) => EchoServer.start(id)));
  servers.push(...started);
  return started;
};

const push = (...instances: ServiceInstance[]) => connection.catalog.push('echo', instances);
const listed = (server: EchoServer, fields: Partial<ServiceInstance> = {}) =>
  instanceOf(server.id, server.address, fields);

const plainClient = (options: Record<string, unknown> = {}): EchoStub => {
  const client = new EchoClient(etcdTarget('echo'), credentials.createInsecure(), defaultChannelOptions(options));
  clients.push(client);
  return client;
};

/** `n` calls, `concurrency` at a time, counted by server. */
const run = async (
  client: EchoStub,
  n: number,
  concurrency = 1,
  { metadata, delayMs = 0 }: { metadata?: (i: number) => Metadata; delayMs?: number } = {},
) => {
  const counts: Record<string, number> = {};
  let next = 0;
  const worker = async () => {
    while (next < n) {
      const { server } = await callUnary(client, 'Get', {
        metadata: metadata?.(next++) ?? (next++, undefined),
        delayMs,
      });
      counts[server] = (counts[server] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return counts;
};

const ready = () => balancers.describe('default', 'echo')[0]?.instances.filter(({ state }) => state === 'ready').length;

describe('a plain grpc-js client on etcd:///echo', () => {
  it('round_robin: exact over 3,000 calls, from the first one on', async () => {
    connection.defaults = { loadBalancing: { policy: 'round_robin' } };
    const three = await start('a', 'b', 'c');
    push(...three.map((server) => listed(server)));
    expect(await run(plainClient(), 3000)).toEqual({ a: 1000, b: 1000, c: 1000 });
  });

  it('round_robin: exact as well at 8 concurrent while the list is pushed again and again', async () => {
    connection.defaults = { loadBalancing: { policy: 'round_robin' } };
    const three = await start('a', 'b', 'c');
    const again = () => push(...three.map((server) => listed(server)));
    again();
    const timer = setInterval(again, 5);
    const counts = await run(plainClient(), 3000, 8).finally(() => clearInterval(timer));
    expect(Math.max(...Object.values(counts)) - Math.min(...Object.values(counts))).toBeLessThanOrEqual(1);
    expect(three.map(({ peers }) => peers)).toEqual([1, 1, 1]);
  });

  it('the default policy: within 15 % of a third at 8 concurrent', async () => {
    push(...(await start('a', 'b', 'c')).map((server) => listed(server)));
    // Handlers that take 5 ms: without them the machine's other work makes one of three equals look busy.
    const counts = await run(plainClient(), 3000, 8, { delayMs: 5 });
    for (const count of Object.values(counts)) expect(Math.abs(count - 1000)).toBeLessThan(150);
    expect(Object.keys(counts).length).toBe(3);
  });

  it('follows weights at once and on the same connections', async () => {
    connection.defaults = { loadBalancing: { policy: 'weighted_round_robin' } };
    const three = await start('a', 'b', 'c');
    const [a, b, c] = three as [EchoServer, EchoServer, EchoServer];
    push(listed(a, { weight: 10 }), listed(b, { weight: 20 }), listed(c, { weight: 40 }));
    const client = plainClient();
    const before = await run(client, 700);
    push(listed(a, { weight: 40 }), listed(b, { weight: 20 }), listed(c, { weight: 10 }));
    await callUnary(client);
    const after = await run(client, 700);
    expect([before['a'], before['b'], before['c']].map((n) => Math.round(n! / 100))).toEqual([1, 2, 4]);
    expect([after['a'], after['b'], after['c']].map((n) => Math.round(n! / 100))).toEqual([4, 2, 1]);
    expect(three.map(({ peers }) => peers)).toEqual([1, 1, 1]);
  });

  it('prefers its zone and falls back', async () => {
    connection.defaults = { loadBalancing: { policy: 'round_robin' }, zone: 'one' };
    const [a, b] = (await start('a', 'b')) as [EchoServer, EchoServer];
    push(listed(a, { zone: 'one' }), listed(b, { zone: 'two' }));
    const client = plainClient();
    expect(await run(client, 50)).toEqual({ a: 50 });
    push(listed(b, { zone: 'two' }));
    expect(await run(client, 50)).toEqual({ b: 50 });
  });

  it('consistent_hash: one key, one instance', async () => {
    connection.defaults = { loadBalancing: { policy: 'consistent_hash', header: 'x-user' } };
    push(...(await start('a', 'b', 'c')).map((server) => listed(server)));
    const client = plainClient();
    const homes = new Set<string>();
    for (let key = 0; key < 20; key++) {
      const metadata = new Metadata();
      metadata.set('x-user', `user-${key}`);
      const counts = await run(client, 5, 1, { metadata: () => metadata });
      expect(Object.keys(counts)).toHaveLength(1);
      homes.add(Object.keys(counts)[0]!);
    }
    expect(homes.size).toBe(3);
  });

  it('changes its policy while it runs, without a reconnect', async () => {
    const three = await start('a', 'b', 'c');
    push(...three.map((server) => listed(server)));
    const client = plainClient();
    await run(client, 30);
    balancers.setLoadBalancing('default', 'echo', 'round_robin');
    try {
      expect(await run(client, 300)).toEqual({ a: 100, b: 100, c: 100 });
      expect(balancers.describe('default', 'echo')[0]!.policy.policy).toBe('round_robin');
    } finally {
      balancers.setLoadBalancing('default', 'echo', undefined);
    }
    expect(balancers.describe('default', 'echo')[0]!.policy.policy).toBe('least_request');
    expect(three.map(({ peers }) => peers)).toEqual([1, 1, 1]);
  });

  it('a policy nobody defined fails every call and says which are', async () => {
    connection.defaults = { loadBalancing: { policy: 'round-robin' } };
    push(...(await start('a')).map((server) => listed(server)));
    await expect(callUnary(plainClient())).rejects.toThrow(/unknown load-balancing policy "round-robin"; known are/);
  });

  it('a picker of the user´s that throws costs no call and is reported once', async () => {
    definePicker('broken', () => ({
      update: () => {},
      pick: () => {
        throw new Error('cannot decide');
      },
    }));
    const log = vi.spyOn(console, 'error').mockImplementation(() => {});
    connection.defaults = { loadBalancing: { policy: 'broken' } };
    push(...(await start('a', 'b')).map((server) => listed(server)));
    expect(Object.keys(await run(plainClient(), 100))).toHaveLength(2);
    expect(
      log.mock.calls.flat().filter((text) => String(text).includes('"broken" of service "echo" failed')),
    ).toHaveLength(1);
    log.mockRestore();
  });

  it('uses an instance that joins, and none that left; what is in flight there ends well', async () => {
    const [a, b] = (await start('a', 'b')) as [EchoServer, EchoServer];
    push(listed(a));
    const client = plainClient();
    await callUnary(client);
    const slow = callUnary(client, 'Get', { delayMs: 300 });
    await vi.waitFor(() => expect(a.calls).toBe(2));
    push(listed(b));
    expect(await run(client, 20)).toEqual({ b: 20 });
    expect((await slow).server).toBe('a');
  });

  it('calls wait while the only instances change, rather than fail', async () => {
    const [a, b] = (await start('a', 'b')) as [EchoServer, EchoServer];
    push(listed(a));
    const client = plainClient();
    await callUnary(client);
    push(listed(b));
    expect((await callUnary(client)).server).toBe('b');
  });

  it('all gone: fails at once and names the service; back: works again', async () => {
    const [a] = (await start('a')) as [EchoServer];
    push(listed(a));
    const client = plainClient();
    await callUnary(client);
    push();
    const before = performance.now();
    const failure = await callUnary(client).catch((error: unknown) => error);
    expect(performance.now() - before).toBeLessThan(50);
    expect(failure).toMatchObject({ code: status.UNAVAILABLE });
    expect(String(failure)).toContain('no instance of service "echo" is registered');
    const waiting = callUnary(client, 'Get', { metadata: new Metadata({ waitForReady: true }) });
    push(listed(a));
    expect((await waiting).server).toBe('a');
    expect((await callUnary(client)).server).toBe('a');
  });

  it('none reachable: fails at once, says why, and costs no retries; reconnects when the instance is written anew', async () => {
    connection.defaults = { retryableMethods: ['echo.v1.Echo/*'] };
    const [a] = (await start('a')) as [EchoServer];
    push(listed(a));
    const client = plainClient();
    await callUnary(client);
    a.kill();
    await vi.waitFor(() => expect(balancers.describe('default', 'echo')[0]!.state).toBe('failed'));
    const before = performance.now();
    const failure = await callUnary(client).catch((error: unknown) => error);
    expect(performance.now() - before).toBeLessThan(50);
    expect(String(failure)).toMatch(/none of the 1 instances of service "echo" can be reached: .*ECONNREFUSED/);
    // Let the backoff grow beyond what the bound below allows.
    const since = balancers.describe('default', 'echo')[0]!.instances[0]!.since;
    await vi.waitFor(() => expect(Date.now() - since.getTime()).toBeGreaterThan(1500), { timeout: 3000 });
    await a.listen(a.port);
    push(instanceOf('a-restarted', a.address));
    await vi.waitFor(() => expect(ready()).toBe(1), { timeout: 250 });
    expect((await callUnary(client)).server).toBe('a');
  });

  it('names without a package retry too', async () => {
    connection.defaults = { retryableMethods: ['Echo/Add'] };
    const [a] = (await start('a')) as [EchoServer];
    a.answer = (call, callback) =>
      call.metadata.get('grpc-previous-rpc-attempts').length > 0
        ? callback(null, { server: 'a', text: '' })
        : callback({ code: status.UNAVAILABLE, details: 'the first attempt fails' });
    push(listed(a));
    const client = plainClient();
    await callUnary(client, 'Add');
    expect(a.calls).toBe(2);
    await expect(callUnary(client, 'Get')).rejects.toThrow('the first attempt fails');
    expect(a.calls).toBe(3);
  });

  it('does not spin when a server accepts and hangs up', async () => {
    const { createServer } = await import('node:net');
    let accepted = 0;
    const rude = createServer((socket) => {
      accepted++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
    const { port } = rude.address() as { port: number };
    push(instanceOf('rude', `127.0.0.1:${port}`));
    const client = plainClient();
    const outcome = await callUnary(client, 'Get', { deadlineMs: 1_000 }).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(Error);
    await vi.waitFor(() => expect(accepted).toBeGreaterThan(1), { timeout: 3000 });
    expect(accepted).toBeLessThan(20);
    rude.close();
  });

  it('shares one connection per instance among clients with different service configs', async () => {
    const [a] = (await start('a')) as [EchoServer];
    push(listed(a));
    await callUnary(plainClient());
    await callUnary(plainClient({ 'grpc.service_config': JSON.stringify({ methodConfig: [] }) }));
    expect(a.peers).toBe(1);
    expect(balancers.describe('default', 'echo')).toHaveLength(2);
  });

  it('takes the user´s own service config over ours', async () => {
    push(...(await start('a', 'b', 'c')).map((server) => listed(server)));
    const config = { loadBalancingConfig: [{ etcd_discovery: { policy: 'round_robin' } }] };
    const client = plainClient({ 'grpc.service_config': JSON.stringify(config) });
    expect(await run(client, 300)).toEqual({ a: 100, b: 100, c: 100 });
    const stock = plainClient({
      'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    });
    expect(Object.keys(await run(stock, 300))).toHaveLength(3);
    push();
    // round_robin of grpc-js would wait for ever on an empty list; it keeps what it has on an error.
    expect(Object.keys(await run(stock, 30))).toHaveLength(3);
  });

  it('describes what it does', async () => {
    const [a] = (await start('a')) as [EchoServer];
    push(listed(a), instanceOf('dead', '127.0.0.1:1'));
    const client = plainClient();
    await callUnary(client);
    const slow = callUnary(client, 'Get', { delayMs: 200 });
    await vi.waitFor(() => expect(a.calls).toBe(2));
    const [view] = balancers.describe('default', 'echo');
    expect(view!.state).toBe('ready');
    expect(view!.instances.find(({ instance }) => instance.id === 'a')).toMatchObject({
      state: 'ready',
      inFlight: 1,
      picks: 2,
    });
    expect(view!.instances.find(({ instance }) => instance.id === 'dead')).toMatchObject({
      state: 'failed',
      lastError: expect.stringContaining('ECONNREFUSED') as string,
    });
    await slow;
  });
});

describe('three servers under load, methods named retryable', () => {
  it('one killed, one added, one restarted on its port: no call fails but those whose answer had begun', async () => {
    connection.defaults = { retryableMethods: ['echo.v1.Echo/*'] };
    const [a, b, c] = (await start('a', 'b', 'c')) as [EchoServer, EchoServer, EchoServer];
    push(listed(a), listed(b), listed(c));
    const client = plainClient();
    await callUnary(client);
    const load = new SteadyLoad(() => callUnary(client, 'Get', { delayMs: 3 }), 8);
    await load.progress(200);
    a.kill();
    await load.progress(200);
    const [d] = (await start('d')) as [EchoServer];
    push(listed(b), listed(c), listed(d));
    await vi.waitFor(() => expect(d.calls).toBeGreaterThan(50), { timeout: 10_000 });
    const { port } = b;
    b.kill();
    await b.listen(port);
    push(instanceOf('b2', b.address), listed(c), listed(d));
    const calls = b.calls;
    await vi.waitFor(() => expect(b.calls).toBeGreaterThan(calls + 50), { timeout: 10_000 });
    await load.stop();
    // A plain client has no layer above gRPC's retry; our own clients cover these too.
    expect((load.failures as CallFailure[]).filter(({ committed }) => !committed)).toEqual([]);
  });
});
