import { once } from 'node:events';
import { type AddressInfo, type Server, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { tcpProbe } from '../../src/catalog/connection-check.js';
import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { ServiceSubscription } from '../../src/catalog/service-catalog.js';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { encodeInstance } from '../../src/instance/instance-record.js';
import { discoveryOptions, follow, RecordingLog } from '../support/catalog-world.js';

const TTL_S = 2;
const PAUSE_MS = 5_000;
const NAMESPACE = '/suspects';

let etcd: EtcdServer;
let log: RecordingLog;
let client: EtcdClient;
let writer: EtcdClient;
let catalog: EtcdCatalog;
let share: ServiceSubscription;
const servers = new Map<string, Server>();

const listen = async (id: string): Promise<void> => {
  const server = createServer((socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.set(id, server);
};

const stop = async (id: string): Promise<void> => {
  const server = servers.get(id);
  servers.delete(id);
  server?.close();
  if (server) await once(server, 'close');
};

/** As a registering process does, under a lease that nobody renews here. */
const register = async (id: string, ttl: number, status: 'up' | 'draining' = 'up'): Promise<void> => {
  const { port } = servers.get(id)!.address() as AddressInfo;
  const value = encodeInstance(
    {
      service: 's',
      id,
      endpoints: [{ protocol: 'tcp', host: '127.0.0.1', port, secure: false }],
      weight: 10,
      metadata: {},
      registeredAt: new Date(0),
    },
    status,
  );
  const lease = await writer.grantLease(ttl);
  await writer.txn({ compare: [], success: [{ type: 'put', key: `${NAMESPACE}/s/${id}`, value, lease: lease.id }] });
};

const shown = () => share.snapshot?.instances.map(({ id, suspect }) => (suspect ? `${id}?` : id));

const open = async (ids: readonly string[], ttl = 60): Promise<ReturnType<typeof follow>> => {
  for (const id of ids) {
    await listen(id);
    await register(id, ttl);
  }
  share = catalog.acquire('s');
  const told = follow(share);
  await share.ready();
  await vi.waitFor(() => expect(share.health.state).toBe('live'), 5_000);
  expect(shown()).toEqual(ids);
  return told;
};

beforeEach(async () => {
  etcd = await EtcdServer.start();
  log = new RecordingLog();
  const options = { endpoints: [etcd.endpoint], dialTimeoutMs: 5_000 };
  [client, writer] = [createEtcdClient(options, { log }), createEtcdClient(options, { log })];
  catalog = new EtcdCatalog({ etcd: client, namespace: NAMESPACE, options: discoveryOptions(), log });
});

afterEach(async () => {
  await catalog.close();
  await client.close();
  await writer.close();
  for (const id of servers.keys()) await stop(id);
  await etcd.stop();
});

describe('a real etcd', () => {
  it('that was paused for longer than the TTL and deletes all keys does not empty the list', async () => {
    const ids = ['a', 'b', 'c', 'd'];
    const { story, snapshots } = await open(ids, TTL_S);
    etcd.pause();
    await delay(PAUSE_MS);
    etcd.resume();
    await vi.waitFor(() => expect(share.snapshot?.instances.some(({ suspect }) => suspect)).toBe(true), 15_000);
    await vi.waitFor(() => expect(share.snapshot?.instances.every(({ suspect }) => suspect)).toBe(true), 5_000);
    expect(log.of('warn').filter((line) => line.includes('vanished from etcd'))).toHaveLength(1);

    // One is dead, and nobody has a channel to it: the next probe finds out.
    const dead = share.snapshot!.instances[0]!.id;
    await stop(dead);
    await vi.waitFor(() => expect(shown()).not.toContain(`${dead}?`), 5_000);
    for (const id of ids) if (servers.has(id)) await register(id, 60);
    const alive = ids.filter((id) => id !== dead);
    await vi.waitFor(() => expect(shown()).toEqual(alive), 5_000);
    expect(story().filter((line) => line.endsWith('recovered')).length).toBeGreaterThan(0);
    // Of four, the steps up to the half may have been believed, and one is dead.
    expect(Math.min(...snapshots.map(({ instances }) => instances.length))).toBeGreaterThanOrEqual(1);
    expect(log.of('log').filter((line) => line.includes('no suspects any more'))).toHaveLength(1);
  });

  it('that lost its data keeps the instances in use until they are registered again', async () => {
    await open(['a', 'b', 'c']);
    await etcd.kill();
    await etcd.wipe();
    await etcd.up();
    await vi.waitFor(() => expect(shown()).toEqual(['a?', 'b?', 'c?']), 15_000);
    await vi.waitFor(() => register('b', 60), 10_000);
    await vi.waitFor(() => expect(shown()).toEqual(['a?', 'b', 'c?']), 5_000);
    await register('a', 60, 'draining');
    await vi.waitFor(() => expect(shown()).toEqual(['b', 'c?']), 5_000);
  });

  it('that tells of drained instances empties the list at once', async () => {
    const { story } = await open(['a', 'b']);
    for (const id of ['a', 'b']) await register(id, 60, 'draining');
    await vi.waitFor(() => expect(shown()).toEqual([]), 2_000);
    expect(story().slice(2)).toEqual(['removed a drained', 'removed b drained']);
  });
});

describe('a TCP probe', () => {
  const probe = (port: number, signal = new AbortController().signal) => tcpProbe('127.0.0.1', port, signal);

  it('says who accepts and who refuses, and leaves nothing open', async () => {
    await listen('a');
    const server = servers.get('a')!;
    const { port } = server.address() as AddressInfo;
    expect(await probe(port)).toBe(true);
    await vi.waitFor(
      () =>
        new Promise<void>((resolve, reject) =>
          server.getConnections((_, count) => (count === 0 ? resolve() : reject(new Error(`${count} open`)))),
        ),
    );
    await stop('a');
    expect(await probe(port)).toBe(false);
  });

  it('takes what was aborted for no proof', async () => {
    const abort = new AbortController();
    abort.abort();
    expect(await probe(1, abort.signal)).toBe(true);
  });
});
