import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath as healthProto } from 'grpc-health-check';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { eventually, repositoryRoot, TestProcess } from './support/child-process.js';
import { RawEtcd } from './support/raw-etcd.js';

type Reply = Record<string, unknown>;
type Unary = (
  request: object,
  options: { deadline: number },
  callback: (error: ServiceError | null, reply: Reply) => void,
) => { write(message: object): void; end(): void };

const etcdEndpoint = inject('etcdEndpoint');
const loaderOptions = { defaults: true, enums: String, longs: String } as const;
const reflectionProto = join(
  dirname(createRequire(import.meta.url).resolve('@grpc/reflection')),
  '../proto/grpc/reflection/v1/reflection.proto',
);
const server = { process: undefined as TestProcess | undefined, address: '', id: '' };
const clients: Client[] = [];
let raw: RawEtcd;

/** A plain grpc-js client, as anybody would write it: neither Nest nor etcd. */
const connect = (proto: string, ...path: string[]): Client => {
  const grpc = loadPackageDefinition(loadSync(proto, loaderOptions));
  const Service = path.reduce((found, name) => found[name] as GrpcObject, grpc) as unknown as new (
    address: string,
    creds: object,
  ) => Client;
  const client = new Service(server.address, credentials.createInsecure());
  clients.push(client);
  return client;
};

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows the kind of the method
const method = <T>(client: Client, name: string): T =>
  (client as unknown as Record<string, (...args: unknown[]) => unknown>)[name]?.bind(client) as T;

const call = (client: Client, name: string, request: object): Promise<Reply> =>
  new Promise((resolve, reject) => {
    method<Unary>(client, name)(request, { deadline: Date.now() + 5_000 }, (error, reply) =>
      error ? reject(error) : resolve(reply),
    );
  });

const notification = (patch: object = {}) => ({
  id: randomUUID(),
  recipient: 'ada',
  channel: 'CHANNEL_EMAIL',
  subject: 'Order',
  body: 'It is on its way.',
  ...patch,
});

let service: Client;

beforeAll(async () => {
  const namespace = `/notification-${randomUUID()}`;
  raw = new RawEtcd(etcdEndpoint);
  const running = TestProcess.node('dist/apps/notification-server/src/main.js', [], {
    ETCD_ENDPOINTS: etcdEndpoint,
    ETCD_NAMESPACE: namespace,
    NOTIFICATION_SERVER_ADDR: '127.0.0.1:0',
  });
  server.process = running;
  const { key, value } = await eventually(
    'the server is in etcd',
    async () => (await raw.keys(`${namespace}/`))[0],
    20_000,
    () => running.output,
  );
  server.address = String(value['address']);
  server.id = key.slice(`${namespace}/notification-server/`.length);
  service = connect(
    join(repositoryRoot, 'proto/notification/v1/notification.proto'),
    'notification',
    'v1',
    'NotificationService',
  );
});

afterAll(async () => {
  for (const client of clients) client.close();
  await server.process?.dispose();
  raw.close();
});

describe('sending', () => {
  it('twice is the same as once, and says who took it', async () => {
    const sent = notification();
    const first = await call(service, 'SendNotification', { notification: sent });
    expect(first).toMatchObject({ notification: sent, servedBy: server.id });
    expect(await call(service, 'SendNotification', { notification: sent })).toEqual(first);
    expect(await call(service, 'GetNotification', { id: sent.id })).toEqual(first);
  });

  it.each([
    ['another content under a known id', { body: 'Another.' }, status.ALREADY_EXISTS, /exists with another content/],
    ['wrong fields', { id: '../x', body: '' }, status.INVALID_ARGUMENT, /notification\.id: .*; notification\.body: /],
    [
      'no channel',
      { channel: 'CHANNEL_UNSPECIFIED' },
      status.INVALID_ARGUMENT,
      /notification\.channel: expected one of/,
    ],
  ])('refuses %s', async (_, patch, code, message) => {
    const sent = notification();
    await call(service, 'SendNotification', { notification: sent });
    await expect(call(service, 'SendNotification', { notification: { ...sent, ...patch } })).rejects.toMatchObject({
      code,
      details: expect.stringMatching(message) as string,
    });
  });

  it('in bulk counts what became of each', async () => {
    const known = notification();
    await call(service, 'SendNotification', { notification: known });
    const summary = await new Promise<Reply>((resolve, reject) => {
      const stream = (
        method<unknown>(service, 'SendNotifications') as (
          callback: (error: ServiceError | null, reply: Reply) => void,
        ) => ReturnType<Unary>
      )((error, reply) => (error ? reject(error) : resolve(reply)));
      for (const each of [notification(), known, { ...known, body: 'Another.' }, notification({ recipient: '' })]) {
        stream.write({ notification: each });
      }
      stream.end();
    });
    expect(summary).toMatchObject({ accepted: 1, duplicates: 1, rejected: 2, servedBy: server.id });
    expect(summary['rejections']).toMatchObject([
      { index: 2, id: known.id, code: status.ALREADY_EXISTS },
      { index: 3, code: status.INVALID_ARGUMENT },
    ]);
  });
});

describe('reading', () => {
  it('says NOT_FOUND, and who said it', async () => {
    const refused = call(service, 'GetNotification', { id: 'nobody-sent-this' });
    await expect(refused).rejects.toMatchObject({ code: status.NOT_FOUND });
    const error = (await refused.catch((error: unknown) => error)) as ServiceError;
    expect(error.metadata.get('x-instance')).toEqual([server.id]);
  });

  it('goes through the pages of a recipient, newest first', async () => {
    const recipient = `pages-${randomUUID()}`;
    const sent = Array.from({ length: 5 }, () => notification({ recipient }));
    for (const each of sent) await call(service, 'SendNotification', { notification: each });
    const pages: string[][] = [];
    let pageToken = '';
    do {
      const page = await call(service, 'ListNotifications', { pageSize: 2, pageToken, recipient });
      pages.push((page['notifications'] as { id: string }[]).map(({ id }) => id));
      pageToken = String(page['nextPageToken']);
      if (pageToken !== '') {
        await expect(
          call(service, 'ListNotifications', { pageToken, recipient: 'somebody-else' }),
        ).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
      }
    } while (pageToken !== '');
    const newestFirst = sent.map(({ id }) => id).toReversed();
    expect(pages).toEqual([newestFirst.slice(0, 2), newestFirst.slice(2, 4), newestFirst.slice(4)]);
  });

  it.each([
    ['a negative page size', { pageSize: -1 }, /page_size/],
    ['a token it never made', { pageToken: 'x' }, /page_token/],
  ])('refuses %s', async (_, request, message) => {
    await expect(call(service, 'ListNotifications', request)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(message) as string,
    });
  });
});

it('answers reflection with its services', async () => {
  const reflection = connect(reflectionProto, 'grpc', 'reflection', 'v1', 'ServerReflection');
  const names = await new Promise<string[]>((resolve, reject) => {
    const stream = method<() => ClientDuplexStream<object, Reply>>(reflection, 'ServerReflectionInfo')();
    stream.on('data', ({ listServicesResponse }: { listServicesResponse: { service: { name: string }[] } }) => {
      resolve(listServicesResponse.service.map(({ name }) => name));
      stream.end();
    });
    stream.on('error', reject);
    stream.write({ listServices: '' });
  });
  expect(names).toContain('notification.v1.NotificationService');
});

// The last one: it stops the server.
it('streams what is new, and leaves its watchers in order when it stops', async () => {
  const health = connect(healthProto, 'grpc', 'health', 'v1', 'Health');
  for (const name of ['', 'notification.v1.NotificationService']) {
    expect(await call(health, 'Check', { service: name })).toMatchObject({ status: 'SERVING' });
  }
  const seen: string[] = [];
  const stream = method<(request: object) => ClientReadableStream<{ notification: { id: string } }>>(
    service,
    'WatchNotifications',
  )({ recipient: 'watched' });
  stream.on('data', ({ notification: { id } }: { notification: { id: string } }) => seen.push(id));
  const ended = new Promise<ServiceError>((resolve) => stream.once('error', resolve));
  const healthSeen: unknown[] = [];
  const healthStream = method<(request: object) => ClientReadableStream<Reply>>(health, 'Watch')({ service: '' });
  healthStream.on('data', (reply: Reply) => healthSeen.push(reply['status']));
  healthStream.on('error', () => {});
  await expect.poll(() => healthSeen).toEqual(['SERVING']);

  const watched = notification({ recipient: 'watched' });
  // The stream is open when it shows the first one.
  await eventually('the stream shows a notification', async () => {
    await call(service, 'SendNotification', { notification: notification({ recipient: 'watched' }) });
    return seen.length > 0;
  });
  await call(service, 'SendNotification', { notification: notification() });
  await call(service, 'SendNotification', { notification: watched });
  await expect.poll(() => seen.at(-1)).toBe(watched.id);

  server.process?.signal('SIGTERM');
  const error = await ended;
  expect(error).toMatchObject({ code: status.UNAVAILABLE });
  expect(error.metadata.get('x-drain')).toEqual(['1']);
  await expect.poll(() => healthSeen).toEqual(['SERVING', 'NOT_SERVING']);
  // Calls still finish while it leaves.
  expect(await call(service, 'GetNotification', { id: watched.id })).toMatchObject({ servedBy: server.id });
  // Well before the bound at which streams are cut: nothing of ours was left open.
  stream.destroy();
  const leaving = performance.now();
  await server.process?.exit();
  expect(performance.now() - leaving).toBeLessThan(8_000);
});
