import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { connections, type DiscoveryConnection } from '../../src/catalog/connection-directory.js';
import type { ServiceEvent } from '../../src/catalog/service-catalog.js';
import { DiscoveryService } from '../../src/discovery/discovery.service.js';
import { DiscoveryTimeoutError, ServiceUnavailableError } from '../../src/etcd-discovery.errors.js';
import { CLIENT_DEFAULTS } from '../../src/options/defaults.js';
import { callUnary, EchoClient, EchoServer } from '../grpc/support/echo-server.js';
import { etcdWorld, type EtcdWorld } from '../support/etcd-world.js';

let world: EtcdWorld;
let discovery: DiscoveryService;
let closeConnection: () => void;

beforeEach(async () => {
  world = await etcdWorld(inject('etcdEndpoint'));
  const connection: DiscoveryConnection = {
    name: 'default',
    catalog: world.catalog,
    resolveTimeoutMs: 5_000,
    clientDefaults: () => CLIENT_DEFAULTS,
  };
  closeConnection = connections.open(connection);
  discovery = new DiscoveryService(connection);
});

afterEach(async () => {
  closeConnection();
  await world.close();
});

describe('DiscoveryService over a real etcd', () => {
  it('answers each kind of question', async () => {
    await world.up('a', '1');
    await world.up('b', '1');
    await world.up('b', '2');
    expect((await discovery.getService('a')).id).toBe('1');
    expect((await discovery.getServiceList('b')).map(({ id }) => id)).toEqual(['1', '2']);
    expect(Object.keys(await discovery.getAllServices()).toSorted()).toEqual(['a', 'b']);
    await discovery.startWatch(['a']);
    expect(discovery.getCachedService('a')?.id).toBe('1');
    await expect(discovery.getService('none')).rejects.toBeInstanceOf(ServiceUnavailableError);
  });

  it('streams what happens and waits for what is to come', async () => {
    const events: ServiceEvent[] = [];
    const subscription = discovery.watchService('s').subscribe((event) => events.push(event));
    const waiting = discovery.waitForService('s', { minInstances: 2 });
    await world.up('s', 'a');
    await world.up('s', 'b');
    expect(await waiting).toHaveLength(2);
    await world.down('s', 'a');
    await expect
      .poll(() => events.map(({ type, instance }) => `${type} ${instance.id}`))
      .toEqual(['added a', 'added b', 'removed a']);
    subscription.unsubscribe();
    await expect(discovery.waitForService('s', { minInstances: 5, timeoutMs: 50 })).rejects.toThrow(/1 of 5 instances/);
  });
});

describe('dialService', () => {
  const publish = (server: EchoServer) => world.put(world.key('echo', server.id), server.address);

  it('gives a connected client that calls through etcd', async () => {
    const server = await EchoServer.start('one');
    await publish(server);
    const client = await discovery.dialService('echo', EchoClient);
    expect((await callUnary(client, 'Get', { text: 'hello' })).server).toBe('one');
    client.close();
    server.kill();
  });

  it('waits for an instance that comes in time', async () => {
    const dialed = discovery.dialService('echo', EchoClient, { timeoutMs: 10_000 });
    const server = await EchoServer.start('late');
    await publish(server);
    const client = await dialed;
    expect((await callUnary(client)).server).toBe('late');
    client.close();
    server.kill();
  });

  it('says that etcd knows no instance', async () => {
    const dialed = discovery.dialService('echo', EchoClient, { timeoutMs: 300 });
    await expect(dialed).rejects.toBeInstanceOf(ServiceUnavailableError);
    await expect(dialed).rejects.toThrow(/etcd:\/\/\/echo did not connect within 300 ms: .*no live instance/);
  });

  it('says which instances could not be reached', async () => {
    const server = await EchoServer.start('gone');
    await publish(server);
    server.kill();
    const dialed = discovery.dialService('echo', EchoClient, { timeoutMs: 300 });
    await expect(dialed).rejects.toBeInstanceOf(DiscoveryTimeoutError);
    await expect(dialed).rejects.toThrow(`1 live instance`);
    await expect(dialed).rejects.toThrow(server.address);
  });

  it('ends by its signal, before and during, and at the close', async () => {
    const aborted = discovery.dialService('echo', EchoClient, { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    const controller = new AbortController();
    const dialing = discovery.dialService('echo', EchoClient, { signal: controller.signal, timeoutMs: 60_000 });
    controller.abort();
    await expect(dialing).rejects.toMatchObject({ code: 'ABORTED' });
    const last = discovery.dialService('echo', EchoClient, { timeoutMs: 60_000 });
    discovery.close();
    await expect(last).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(discovery.dialService('echo', EchoClient)).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('closes the client of a dial that failed', async () => {
    let closed = 0;
    class Counting extends EchoClient {
      override close(): void {
        closed += 1;
        super.close();
      }
    }
    await expect(discovery.dialService('echo', Counting, { timeoutMs: 100 })).rejects.toThrow();
    expect(closed).toBe(1);
  });
});
