import { Metadata, status } from '@grpc/grpc-js';
import { Module } from '@nestjs/common';
import { ClientGrpcProxy, ClientsModule, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { Observable, Subject, firstValueFrom, of, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { balancers } from '../../src/balancing/balancer-directory.js';
import { connections } from '../../src/catalog/connection-directory.js';
import { DiscoveryClientFactory } from '../../src/grpc/client/discovery-client.factory.js';
import type { DiscoveryGrpcOptions } from '../../src/grpc/client/discovery-client.options.js';
import { DiscoveryClientGrpc } from '../../src/grpc/client/discovery-client-grpc.js';
import { createFeatureProviders } from '../../src/grpc/client/feature.providers.js';
import { getGrpcClientToken } from '../../src/grpc/client/inject-grpc-client.decorator.js';
import { ECHO_PROTO, EchoServer, type Reply } from './support/echo-server.js';
import { FakeConnection, instanceOf } from './support/fake-connection.js';
import { SteadyLoad } from './support/steady-load.js';

interface Request {
  text?: string;
  delayMs?: number;
}
interface Echo {
  get(request: Request, metadata?: Metadata, options?: object): Observable<Reply>;
  add(request: Request, metadata?: Metadata, options?: object): Observable<Reply>;
  follow(request: Request, metadata?: Metadata): Observable<Reply>;
  collect(requests: Observable<Request>, metadata?: Metadata): Observable<Reply>;
}

let connection: FakeConnection;
let close: () => void;
const servers: EchoServer[] = [];
const clients: ClientGrpcProxy[] = [];

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
const list = (...live: EchoServer[]) =>
  connection.catalog.push(
    'echo',
    live.map(({ id, address }) => instanceOf(id, address)),
  );

const options: DiscoveryGrpcOptions = { service: 'echo', package: 'echo.v1', protoPath: ECHO_PROTO };
const clientOf = (more: Partial<DiscoveryGrpcOptions> = {}): Echo => {
  const client = new DiscoveryClientGrpc({ ...options, ...more });
  clients.push(client);
  return client.getService<Echo>('Echo');
};
const failureOf = (call: Observable<unknown>) =>
  firstValueFrom(call).then(
    () => expect.fail('the call should fail'),
    (error: unknown) => error as { code: number; details: string; message: string },
  );

describe('Nest´s own ClientGrpcProxy with the URL etcd:///echo', () => {
  it('is balanced', async () => {
    connection.defaults = { loadBalancing: { policy: 'round_robin' } };
    list(...(await start('a', 'b', 'c')));
    const client = new ClientGrpcProxy({ url: 'etcd:///echo', package: 'echo.v1', protoPath: ECHO_PROTO });
    clients.push(client);
    const echo = client.getService<Echo>('Echo');
    const answers: string[] = [];
    for (let i = 0; i < 30; i++) answers.push((await firstValueFrom(echo.get({}))).server);
    for (const id of ['a', 'b', 'c']) expect(answers.filter((answer) => answer === id)).toHaveLength(10);
  });
});

describe('DiscoveryClientGrpc', () => {
  it('works like Nest´s client for every kind of method', async () => {
    list(...(await start('a')));
    const echo = clientOf();
    expect(await firstValueFrom(echo.get({ text: 'x' }))).toEqual({ server: 'a', text: 'x' });
    expect(await firstValueFrom(echo.follow({ text: 'y' }))).toEqual({ server: 'a', text: 'y' });
    expect(await firstValueFrom(echo.collect(of({ text: '1' }, { text: '2' })))).toEqual({ server: 'a', text: '1,2' });
  });

  it('can be built and called before the module is there', async () => {
    close();
    const echo = clientOf();
    const answer = firstValueFrom(echo.get({ text: 'early' }));
    const late = new FakeConnection();
    const [a] = (await start('a')) as [EchoServer];
    late.catalog.push('echo', [instanceOf('a', a.address)]);
    const closeLate = connections.open(late);
    expect((await answer).text).toBe('early');
    closeLate();
    await late.catalog.close();
  });

  it('closes every client it made, and leaves calls in flight alone', async () => {
    const [a] = (await start('a')) as [EchoServer];
    list(a);
    const client = new DiscoveryClientGrpc(options);
    const echo = client.getService<Echo>('Echo');
    client.createClientByServiceName('Echo');
    const answer = firstValueFrom(echo.get({ delayMs: 100 }));
    await vi.waitFor(() => expect(a.calls).toBe(1));
    client.close();
    expect((await answer).server).toBe('a');
    await expect(firstValueFrom(echo.get({}))).rejects.toThrow('Channel has been shut down');
  });

  describe('retry', () => {
    const failFirstAttempt = (server: EchoServer) => {
      server.answer = (call, callback) =>
        call.metadata.get('grpc-previous-rpc-attempts').length > 0
          ? callback(null, { server: server.id, text: '' })
          : callback({ code: status.UNAVAILABLE, details: 'first attempt' });
    };

    it('by the proto: methods that declare an idempotency level, and no others', async () => {
      const [a] = (await start('a')) as [EchoServer];
      failFirstAttempt(a);
      list(a);
      const echo = clientOf();
      await firstValueFrom(echo.get({}));
      expect(a.calls).toBe(2);
      expect(await failureOf(echo.add({}))).toMatchObject({ code: status.UNAVAILABLE });
      expect(a.calls).toBe(3);
    });

    it('by name, from the client´s options and from the connection´s', async () => {
      const [a] = (await start('a')) as [EchoServer];
      failFirstAttempt(a);
      list(a);
      await firstValueFrom(clientOf({ retryableMethods: ['Echo/Add'] }).add({}));
      connection.defaults = { retryableMethods: ['echo.v1.Echo/*'] };
      list(a);
      await firstValueFrom(clientOf().add({}));
    });

    it('not with retry: false', async () => {
      const [a] = (await start('a')) as [EchoServer];
      failFirstAttempt(a);
      list(a);
      expect(await failureOf(clientOf({ retry: false }).get({}))).toMatchObject({ code: status.UNAVAILABLE });
      expect(a.calls).toBe(1);
    });

    /** Headers arrive, then the server dies: committed, so that no retry policy covers it. */
    const dieAfterHeaders = (server: EchoServer, times: number) => {
      server.answer = (call, callback) => {
        if (server.calls > times) return callback(null, { server: server.id, text: '' });
        call.sendMetadata(new Metadata());
        setTimeout(() => callback({ code: status.UNAVAILABLE, details: 'died between headers and answer' }), 5);
      };
    };

    it('once more where grpc-js cannot: the call was committed', async () => {
      const [a] = (await start('a')) as [EchoServer];
      dieAfterHeaders(a, 1);
      list(a);
      const echo = clientOf();
      expect((await firstValueFrom(echo.get({}))).server).toBe('a');
      expect(a.calls).toBe(2);
    });

    it('only once, and only what may be repeated', async () => {
      const [a] = (await start('a')) as [EchoServer];
      dieAfterHeaders(a, 1_000);
      list(a);
      const echo = clientOf();
      expect(await failureOf(echo.get({}))).toMatchObject({ details: 'died between headers and answer' });
      expect(a.calls).toBe(2);
      await failureOf(echo.add({}));
      expect(a.calls).toBe(3);
    });

    it('at most maxAttempts streams per call, all layers together', async () => {
      const [a] = (await start('a')) as [EchoServer];
      a.answer = (_call, callback) => callback({ code: status.UNAVAILABLE, details: 'always' });
      list(a);
      await failureOf(clientOf().get({}));
      expect(a.calls).toBe(4);
    });
  });

  describe('deadlines', () => {
    it('a unary call has one by default, which the caller´s own replaces', async () => {
      list(...(await start('a')));
      const echo = clientOf({ deadline: '100ms' });
      const before = performance.now();
      expect(await failureOf(echo.get({ delayMs: 3_000 }))).toMatchObject({ code: status.DEADLINE_EXCEEDED });
      expect(performance.now() - before).toBeLessThan(1_500);
      const own = { deadline: Date.now() + 5_000 };
      expect((await firstValueFrom(echo.get({ delayMs: 200 }, new Metadata(), own))).server).toBe('a');
    });

    it('counts from the subscription, not from the making of the observable', async () => {
      list(...(await start('a')));
      const call = clientOf({ deadline: '300ms' }).get({});
      await new Promise((resolve) => setTimeout(resolve, 350));
      expect((await firstValueFrom(call)).server).toBe('a');
    });

    it('a stream has none', async () => {
      list(...(await start('a')));
      const echo = clientOf({ deadline: '100ms' });
      const requests = new Subject<Request>();
      const answer = firstValueFrom(echo.collect(requests));
      await new Promise((resolve) => setTimeout(resolve, 200));
      requests.next({ text: 'late' });
      requests.complete();
      expect((await answer).text).toBe('late');
    });
  });

  it('waitForReady: calls of every kind wait for the first instance', async () => {
    connection.catalog.push('echo', []);
    const echo = clientOf({ waitForReady: true });
    const answers = Promise.all([
      firstValueFrom(echo.get({})),
      firstValueFrom(echo.follow({})),
      firstValueFrom(echo.collect(of({ text: 'x' }))),
    ]);
    list(...(await start('a')));
    expect((await answers).map(({ server }) => server)).toEqual(['a', 'a', 'a']);
    connection.catalog.push('echo', []);
    const impatient = new Metadata({ waitForReady: false });
    expect(await failureOf(echo.get({}, impatient))).toMatchObject({ code: status.UNAVAILABLE });
  });

  it('is cancelled by unsubscribing, on the server too', async () => {
    const [a] = (await start('a')) as [EchoServer];
    let cancelled = 0;
    a.answer = (call) => void call.on('cancelled', () => cancelled++);
    list(a);
    const subscription = clientOf().get({}).subscribe();
    await vi.waitFor(() => expect(a.calls).toBe(1));
    subscription.unsubscribe();
    await vi.waitFor(() => expect(cancelled).toBe(1));
  });

  it('an HTTP proxy in the environment is not for it', async () => {
    vi.stubEnv('http_proxy', 'http://127.0.0.1:1');
    try {
      list(...(await start('a')));
      expect((await firstValueFrom(clientOf().get({}))).server).toBe('a');
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('its own loadBalancing wins over the connection´s', async () => {
    connection.defaults = { loadBalancing: { policy: 'random' } };
    list(...(await start('a', 'b', 'c')));
    const echo = clientOf({ loadBalancing: 'round_robin' });
    const answers: string[] = [];
    for (let i = 0; i < 30; i++) answers.push((await firstValueFrom(echo.get({}))).server);
    for (const id of ['a', 'b', 'c']) expect(answers.filter((answer) => answer === id)).toHaveLength(10);
  });

  it('20 kills of one of three under load: no idempotent call fails', async () => {
    const three = await start('a', 'b', 'c');
    list(...three);
    const echo = clientOf();
    await firstValueFrom(echo.get({}));
    const load = new SteadyLoad(() => firstValueFrom(echo.get({ delayMs: 2 })), 12);
    for (let i = 0; i < 20; i++) {
      const victim = three[i % 3]!;
      const { port } = victim;
      victim.kill();
      await victim.listen(port);
      connection.catalog.push(
        'echo',
        three.map(({ id, address }) => instanceOf(id === victim.id ? `${id}-${i}` : id, address)),
      );
      await load.progress(100);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
  });
});

describe('mistakes', () => {
  it.each([
    [
      { protoPath: './no/such.proto' },
      /protoPath of the gRPC client for "echo": no readable file at ".\/no\/such.proto"/,
    ],
    [{ protoPath: undefined }, /protoPath of the gRPC client for "echo" is missing/],
    [{ service: '../x' }, /"..\/x" is not a valid service name/],
    [{ deadline: '5 parsecs' }, /deadline of the gRPC client for "echo": .*5 parsecs/],
  ])('%j is refused when the client is made', (more, message) => {
    expect(() => new DiscoveryClientGrpc({ ...options, ...more } as DiscoveryGrpcOptions)).toThrow(message);
  });

  it('an unknown policy is refused with the first getService', () => {
    expect(() => clientOf({ loadBalancing: 'fastest' as never })).toThrow(
      /loadBalancing of the client for "echo": unknown load-balancing policy "fastest"/,
    );
  });

  it('a gRPC service that the proto does not have is Nest´s own error', () => {
    expect(() => new DiscoveryClientGrpc(options).getService('Nope')).toThrow('The invalid gRPC service');
  });

  it('a transport that is not there is named', () => {
    const create = () => DiscoveryClientFactory.create({ ...options, transport: Transport.TCP as never });
    expect(create).toThrow(/transport of the client for "echo": TCP is not supported; supported is Transport.GRPC/);
  });

  it('a service nobody registered fails by name', async () => {
    connection.catalog.push('nobody', []);
    const echo = clientOf({ service: 'nobody' });
    expect((await failureOf(echo.get({}))).details).toContain('no instance of service "nobody" is registered');
  });
});

describe('in Nest', () => {
  it('forFeature provides one client per entry and closes it on shutdown', async () => {
    list(...(await start('a')));
    const providers = createFeatureProviders([{ ...options }, { ...options, token: 'OTHER' }]);
    const app = await Test.createTestingModule({ providers }).compile();
    await app.init();
    const client = app.get<DiscoveryClientGrpc>(getGrpcClientToken('echo'));
    const other = app.get<DiscoveryClientGrpc>('OTHER');
    const answer = await firstValueFrom(other.getService<Echo>('Echo').get({}).pipe(toArray()));
    expect(answer[0]!.server).toBe('a');
    const echo = client.getService<Echo>('Echo');
    await app.close();
    await expect(firstValueFrom(echo.get({}))).rejects.toThrow('Channel has been shut down');
  });

  it('is a customClass of ClientsModule, with both forms', async () => {
    list(...(await start('a')));
    @Module({
      imports: [
        ClientsModule.register([{ name: 'SYNC', customClass: DiscoveryClientGrpc, options }]),
        ClientsModule.registerAsync([
          { name: 'ASYNC', useFactory: () => ({ customClass: DiscoveryClientGrpc, options }) },
        ]),
      ],
    })
    class App {}
    const app = await Test.createTestingModule({ imports: [App] }).compile();
    for (const name of ['SYNC', 'ASYNC']) {
      const echo = app.get<DiscoveryClientGrpc>(name, { strict: false }).getService<Echo>('Echo');
      expect((await firstValueFrom(echo.get({}))).server).toBe('a');
    }
    await app.close();
  });

  it('the factory makes clients of its connection', async () => {
    const named = new FakeConnection('billing');
    const closeNamed = connections.open(named);
    const [a] = (await start('a')) as [EchoServer];
    named.catalog.push('echo', [instanceOf('a', a.address)]);
    const client = new DiscoveryClientFactory('billing').create({ ...options, transport: Transport.GRPC });
    clients.push(client);
    expect((await firstValueFrom(client.getService<Echo>('Echo').get({}))).server).toBe('a');
    closeNamed();
    await named.catalog.close();
  });
});
