import { credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { balancers } from '../../src/balancing/balancer-directory.js';
import { connections } from '../../src/catalog/connection-directory.js';
import { defaultChannelOptions, etcdTarget } from '../../src/grpc/client/dial.js';
import { EchoClient, EchoServer, type EchoStub, callUnary } from './support/echo-server.js';
import { FakeConnection, instanceOf } from './support/fake-connection.js';

let connection: FakeConnection;
let close: () => void;
let server: EchoServer;
let client: EchoStub;

beforeEach(async () => {
  connection = new FakeConnection();
  close = connections.open(connection);
  server = await EchoServer.start('a');
  client = new EchoClient(etcdTarget('echo'), credentials.createInsecure(), defaultChannelOptions({}));
});

afterEach(async () => {
  client.close();
  close();
  await connection.catalog.close();
  server.kill();
  expect(balancers.describe('default', 'echo')).toEqual([]);
});

/** The same server under many addresses: all of 127.0.0.0/8 is this machine, but it listens on one of them only. */
const elsewhere = (count: number) => {
  const port = server.address.slice(server.address.lastIndexOf(':'));
  return Array.from({ length: count }, (_, i) => instanceOf(`b${i}`, `127.1.${i >> 8}.${i & 255}${port}`));
};

const children = () => balancers.describe('default', 'echo')[0]?.instances ?? [];

describe('a service of many instances', () => {
  it('is called while its connections are still being begun, and has them all in the end', async () => {
    const a = instanceOf('a', server.address);
    connection.catalog.push('echo', [a]);
    await callUnary(client, 'Get');
    connection.catalog.push('echo', [a, ...elsewhere(600)]);
    expect(children()).toHaveLength(201);
    await expect(callUnary(client, 'Get')).resolves.toMatchObject({ server: 'a' });
    await vi.waitFor(() => expect(children()).toHaveLength(601), 10_000);
    await expect(callUnary(client, 'Get')).resolves.toMatchObject({ server: 'a' });
  });

  it('that shrinks while they are begun has no connection to those that left', async () => {
    const a = instanceOf('a', server.address);
    connection.catalog.push('echo', [a]);
    await callUnary(client, 'Get');
    connection.catalog.push('echo', [a, ...elsewhere(600)]);
    connection.catalog.push('echo', [a]);
    await expect(callUnary(client, 'Get')).resolves.toMatchObject({ server: 'a' });
    expect(children().map(({ address }) => address)).toEqual([server.address]);
  });
});
