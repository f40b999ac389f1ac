import { credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { balancers } from '../../src/balancing/balancer-directory.js';
import { connections } from '../../src/catalog/connection-directory.js';
import { defaultChannelOptions, etcdTarget } from '../../src/grpc/client/dial.js';
import '../../src/grpc/register.js';
import { EchoClient, EchoServer, type EchoStub, callUnary } from './support/echo-server.js';
import { FakeConnection, instanceOf } from './support/fake-connection.js';

let connection: FakeConnection;
let close: () => void;
let server: EchoServer;
let client: EchoStub;
let told: string[];
let stopListening: () => void;

const state = () => balancers.stateOf('echo', server.address);

beforeEach(async () => {
  connection = new FakeConnection();
  close = connections.open(connection);
  server = await EchoServer.start('a');
  told = [];
  stopListening = balancers.onConnectionChange((service, address) => {
    told.push(`${service} ${address === server.address} ${state() ?? 'unknown'}`);
  });
  client = new EchoClient(etcdTarget('echo'), credentials.createInsecure(), defaultChannelOptions());
});

afterEach(async () => {
  stopListening();
  client.close();
  close();
  await connection.catalog.close();
  server.kill();
  expect(state()).toBeUndefined();
});

describe('the connections of gRPC channels', () => {
  it('are known by service and address, from ready to failed, and each failed attempt is told', async () => {
    connection.catalog.push('echo', [instanceOf('a', server.address)]);
    await callUnary(client);
    expect(state()).toBe('ready');
    expect(balancers.stateOf('other', server.address)).toBeUndefined();
    expect(told).toContain('echo true ready');
    told.length = 0;
    server.kill();
    await vi.waitFor(() => expect(told).toContain('echo true failed'));
    await vi.waitFor(() => expect(told.filter((line) => line === 'echo true failed').length).toBeGreaterThan(1), 5_000);
    await server.listen(server.port);
    await vi.waitFor(() => expect(state()).toBe('ready'), 10_000);
  });

  it('do not notice that an instance becomes suspect and recovers', async () => {
    const instance = instanceOf('a', server.address);
    connection.catalog.push('echo', [instance]);
    await callUnary(client);
    told.length = 0;
    for (let i = 0; i < 3; i += 1) {
      connection.catalog.push('echo', [{ ...instance, suspect: true }]);
      expect((await callUnary(client)).server).toBe('a');
      expect(balancers.describe('default', 'echo')[0]?.instances[0]?.instance.suspect).toBe(true);
      connection.catalog.push('echo', [instanceOf('a', server.address)]);
      await callUnary(client);
    }
    expect(told).toEqual([]);
    expect(server.peers).toBe(1);
  });
});
