import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import type { EtcdClient, WatchEvent } from '../../src/etcd/etcd-client.js';
import { Registrar } from '../../src/registry/registrar.js';
import type { RegistrationSpec } from '../../src/registry/registration-state.js';
import { silentLog } from '../../src/utils/log.js';

const endpoint = inject('etcdEndpoint');
const connect = () => createEtcdClient({ endpoints: [endpoint], dialTimeoutMs: 5_000 }, { log: silentLog });

/** etcd's own JSON gateway: the way round our client. */
const gateway = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
  const answer = await fetch(`http://${endpoint}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
  return (await answer.json()) as Record<string, unknown>;
};
const leaseIds = async (): Promise<string[]> =>
  (((await gateway('lease/leases', {})).leases as { ID: string }[] | undefined) ?? []).map(({ ID }) => ID);

const specOf = (id: string, ttlMs = 10_000): RegistrationSpec => ({
  record: {
    service: 'notification-server',
    id,
    endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 50051, secure: false }],
    weight: 10,
    metadata: { team: 'x' },
  },
  ttlMs,
  idGiven: false,
});

describe('a registration in a real etcd', () => {
  let namespace: string;
  let etcd: EtcdClient;
  /** Somebody else's connection, to look and to meddle. */
  let onlooker: EtcdClient;
  let registrar: Registrar;
  let events: WatchEvent[];
  const lease = async (key: string) => (await onlooker.range({ key })).kvs[0]?.lease;
  const keyOf = (id: string) => `${namespace}/notification-server/${id}`;
  const statusOf = (event: WatchEvent) =>
    event.type === 'delete' ? 'gone' : (JSON.parse(event.value.toString()) as { status: string }).status;

  beforeEach(async () => {
    namespace = `/registry-${randomUUID()}`;
    etcd = connect();
    onlooker = connect();
    registrar = new Registrar({ etcd, namespace, log: silentLog });
    events = [];
    const { header } = await onlooker.range({ key: namespace });
    onlooker.watch(
      { key: `${namespace}/`, rangeEnd: `${namespace}0`, startRevision: header.revision + 1 },
      { events: (some) => void events.push(...some), end() {} },
    );
  });

  afterEach(async () => {
    await registrar.close();
    await etcd.close();
    await onlooker.close();
  });

  it('is a key under a lease of TTL 10 when done', async () => {
    await registrar.register(specOf('a1')).done;
    const { kvs } = await onlooker.range({ key: keyOf('a1') });
    expect(JSON.parse(kvs[0]!.value.toString())).toMatchObject({
      Addr: '10.0.0.7:50051',
      status: 'up',
      tags: { team: 'x' },
    });
    const ttl = await gateway('lease/timetolive', { ID: kvs[0]!.lease, keys: true });
    expect(ttl).toMatchObject({ grantedTTL: '10', keys: [Buffer.from(keyOf('a1')).toString('base64')] });
  });

  it('outlives its TTL by being renewed', async () => {
    await registrar.register(specOf('a1', 2_000)).done;
    const first = await lease(keyOf('a1'));
    const until = Date.now() + 5_000;
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(until), { timeout: 6_000, interval: 250 });
    expect(await lease(keyOf('a1'))).toBe(first);
    expect(events.map(statusOf)).toEqual(['up']);
  });

  it('is seen to be marked and then deleted, in adjoining revisions', async () => {
    await registrar.register(specOf('a1')).done;
    await registrar.deregister('a1');
    await vi.waitFor(() => expect(events.map(statusOf)).toEqual(['up', 'draining', 'gone']));
    expect(events[2]!.modRevision).toBeGreaterThan(events[1]!.modRevision);
    expect(registrar.states[0]?.state).toBe('stopped');
  });

  it('shares one lease, which is gone from the list after close', async () => {
    await Promise.all(['a1', 'b2', 'c3'].map((id) => registrar.register(specOf(id)).done));
    const leases = new Set(await Promise.all(['a1', 'b2', 'c3'].map((id) => lease(keyOf(id)))));
    expect(leases.size).toBe(1);
    expect(await leaseIds()).toContain([...leases][0]);
    await registrar.close();
    expect(await leaseIds()).not.toContain([...leases][0]);
    expect((await onlooker.range({ key: `${namespace}/`, rangeEnd: `${namespace}0` })).count).toBe(0);
  });

  it('comes back on the same lease when its key is deleted', async () => {
    await registrar.register(specOf('a1')).done;
    const first = await lease(keyOf('a1'));
    for (let round = 0; round < 5; round++) {
      await onlooker.txn({ compare: [], success: [{ type: 'delete', key: keyOf('a1') }] });
      await vi.waitFor(async () => expect(await lease(keyOf('a1'))).toBe(first), { timeout: 2_000, interval: 10 });
    }
    expect(events.map(statusOf).filter((status) => status === 'gone')).toHaveLength(5);
  });

  it('comes back under a new lease when the lease is revoked', async () => {
    await registrar.register(specOf('a1')).done;
    const first = await lease(keyOf('a1'));
    await onlooker.revokeLease(first!);
    await vi.waitFor(
      async () => {
        const now = await lease(keyOf('a1'));
        expect(now).toBeDefined();
        expect(now).not.toBe(first);
      },
      { timeout: 2_000, interval: 10 },
    );
    await vi.waitFor(() => expect(registrar.states[0]?.state).toBe('registered'));
  });

  it('is updated in place', async () => {
    await registrar.register(specOf('a1')).done;
    await registrar.update('a1', { weight: 20 });
    const { kvs } = await onlooker.range({ key: keyOf('a1') });
    expect(kvs[0]).toMatchObject({ version: 2 });
    expect(JSON.parse(kvs[0]!.value.toString())).toMatchObject({ weight: 20, status: 'up' });
  });

  it('waits for the holder of a chosen id, and comes when that leaves', async () => {
    await registrar.register(specOf('a1')).done;
    const second = new Registrar({ etcd: onlooker, namespace, log: silentLog });
    const spec = specOf('a1');
    const elsewhere = [{ protocol: 'grpc', host: '10.0.0.8', port: 50051, secure: false }] as const;
    const { done } = second.register({ ...spec, idGiven: true, record: { ...spec.record, endpoints: elsewhere } });
    await vi.waitFor(() => expect(second.states[0]?.reason).toContain('held by 10.0.0.7:50051'));
    await registrar.deregister();
    await done;
    expect(second.states[0]?.state).toBe('registered');
    await second.close();
  });

  it('ends as the last call says after 100 quick toggles, with no lease left behind', async () => {
    for (let i = 0; i < 100; i++) {
      const { done } = registrar.register(specOf('a1'));
      if (i % 3 === 0) await done;
      void registrar.deregister('a1');
    }
    await registrar.register(specOf('a1')).done;
    const held = await lease(keyOf('a1'));
    expect(held).toBeDefined();
    await registrar.close();
    expect(await lease(keyOf('a1'))).toBeUndefined();
    expect(await leaseIds()).not.toContain(held);
  });
});
