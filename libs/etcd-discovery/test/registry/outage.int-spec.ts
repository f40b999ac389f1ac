import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { Registrar } from '../../src/registry/registrar.js';

const KEY = '/services/notification-server/a1';
const TTL_MS = 2_000;

describe('a registration while its etcd fails', () => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let registrar: Registrar;
  let path: string[];
  let warnings: string[];

  const connect = (): EtcdClient => createEtcdClient({ endpoints: [server.endpoint], dialTimeoutMs: 5_000 });
  const register = async () => {
    const endpoints = [{ protocol: 'grpc', host: '10.0.0.7', port: 50051, secure: false }] as const;
    const record = { service: 'notification-server', id: 'a1', endpoints, weight: 10, metadata: {} };
    await registrar.register({ record, ttlMs: TTL_MS, idGiven: false }).done;
  };
  /** Read through a connection of its own, so that nothing of the tested one is disturbed. */
  const key = async () => {
    const onlooker = connect();
    try {
      return (await onlooker.range({ key: KEY })).kvs[0];
    } finally {
      await onlooker.close();
    }
  };
  const backWithin = (ms: number) =>
    vi.waitFor(() => expect(registrar.states[0]?.state).toBe('registered'), { timeout: ms, interval: 10 });

  beforeEach(async () => {
    server = await EtcdServer.start();
    path = [];
    warnings = [];
    etcd = connect();
    const log = { debug() {}, log() {}, warn: (line: string) => void warnings.push(line), error() {} };
    registrar = new Registrar({ etcd, namespace: '/services', log });
    registrar.onStates(([first]) => {
      if (first && first.state !== path.at(-1)) path.push(first.state);
    });
  });

  afterEach(async () => {
    server.resume();
    await registrar.close();
    await etcd.close();
    await server.stop();
  });

  it('keeps its lease and its key when etcd was down for longer than the TTL', async () => {
    await register();
    const before = await key();
    await server.restart(2 * TTL_MS);
    await vi.waitFor(() => expect(etcd.gate.state.open).toBe(true), { timeout: 5_000, interval: 10 });
    await backWithin(2_000);
    // A lease that nobody renewed would be gone by the end of this.
    await delay(TTL_MS + 1_000);
    expect(await key()).toMatchObject({ lease: before!.lease, version: 1 });
    expect(path).toEqual(['waiting', 'registering', 'registered', 'lost', 'registered']);
    expect(warnings).toHaveLength(1);
  });

  it('is back, whatever became of its lease, when etcd was paused for longer than the TTL', async () => {
    await register();
    const before = await key();
    server.pause();
    await vi.waitFor(() => expect(registrar.states[0]?.state).toBe('lost'), { timeout: 6_000, interval: 50 });
    await delay(TTL_MS);
    server.resume();
    await vi.waitFor(async () => expect((await key())?.lease).toBeDefined(), { timeout: 3_000, interval: 50 });
    await backWithin(2_000);
    const after = await key();
    expect(JSON.parse(after!.value.toString())).toEqual(JSON.parse(before!.value.toString()));
    expect(registrar.states[0]?.state).toBe('registered');
  });

  it('is back when etcd lost all its data', async () => {
    await register();
    await server.kill();
    await server.wipe();
    await server.up();
    await vi.waitFor(async () => expect(await key()).toBeDefined(), { timeout: 3_000, interval: 50 });
    await backWithin(2_000);
  });

  it('comes when etcd does, having waited without it', async () => {
    await server.kill();
    const registering = register();
    await vi.waitFor(() => expect(registrar.states[0]?.reason).toContain('ECONNREFUSED'), { timeout: 5_000 });
    expect(registrar.states[0]?.state).toBe('waiting');
    await server.up();
    await registering;
    expect(await key()).toBeDefined();
  });

  it('stops on a paused etcd within its bound, and nothing is left when that wakes up', async () => {
    await register();
    server.pause();
    const startedAt = performance.now();
    await registrar.close();
    expect(performance.now() - startedAt).toBeLessThan(5_200);
    expect(registrar.states[0]).toMatchObject({
      state: 'stopped',
      reason: expect.stringContaining('could not be told'),
    });
    server.resume();
    await vi.waitFor(async () => expect(await key()).toBeUndefined(), { timeout: 6_000, interval: 50 });
  });
});
