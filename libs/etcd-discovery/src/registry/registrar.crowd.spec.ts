import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, seededRandom } from '../../test/support/fake-clock.js';
import { RegistryFakeEtcd } from '../../test/support/registry-fake-etcd.js';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { silentLog } from '../utils/log.js';
import { Registrar } from './registrar.js';

const CROWD = 1_000;
const keyOf = (id: string) => `/services/users/${id}`;

describe('a service of many processes', () => {
  let clock: FakeClock;
  let etcd: RegistryFakeEtcd;
  let registrars: Registrar[];
  const random = seededRandom(7);

  const start = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const registrar = new Registrar({ etcd, namespace: '/services', clock, random, log: silentLog });
      registrars.push(registrar);
      const endpoints = [{ protocol: 'grpc', host: '10.0.0.7', port: i + 1, secure: false }] as const;
      const record = { service: 'users', id: `n${i}`, endpoints, weight: 10, metadata: {} };
      registrar.register({ record, ttlMs: 10_000, idGiven: false });
    }
    await clock.advance(50);
    expect(standing()).toHaveLength(count);
    // Long enough for the loss that follows not to be a relapse.
    await clock.advance(2_000);
    etcd.appliedAt.length = 0;
  };
  const all = () => registrars.map((_, i) => keyOf(`n${i}`));
  const standing = () => all().filter((key) => etcd.get(key));
  /** How late after `since` each key was put, ms, in order. */
  const putsAfter = (since: number) => etcd.appliedAt.filter(({ type }) => type === 'put').map(({ at }) => at - since);
  /** The most of these moments that fall within 100 ms. */
  const peak = (moments: readonly number[]) =>
    Math.max(...moments.map((from) => moments.filter((at) => at >= from && at < from + 100).length));

  beforeEach(() => {
    clock = new FakeClock();
    etcd = new RegistryFakeEtcd(clock);
    registrars = [];
  });

  afterEach(async () => {
    for (const registrar of registrars) void registrar.close();
    await clock.advance(10_000);
    expect(clock.pending, 'timers left behind').toBe(0);
    expect(etcd.gate.listenerCount, 'gate listeners left behind').toBe(0);
    expect(etcd.openWatches, 'watches left behind').toBe(0);
  });

  it('puts itself back over a second when all its keys are deleted in one moment', async () => {
    await start(CROWD);
    // Etcd tells so many watches one after the other: the first are back before the last have heard of it.
    Object.defineProperty(etcd, 'watchLagMs', { get: () => random() * 50 });
    const since = clock.now();
    etcd.delete(...all());
    await clock.advance(1_060);
    expect(standing()).toHaveLength(CROWD);
    const puts = putsAfter(since);
    expect(puts).toHaveLength(CROWD);
    expect(peak(puts)).toBeLessThan(CROWD / 5);
    expect(puts.filter((ms) => ms > 500).length).toBeGreaterThan(CROWD / 3);
    // What it costs to know: two reads each.
    expect(etcd.count('range')).toBe(2 * CROWD);
  });

  it('gets its leases and its keys over a second when all expired while etcd was away', async () => {
    await start(CROWD);
    const grants: number[] = [];
    etcd.goDown();
    await clock.advance(20_000);
    expect(etcd.leases.size).toBe(0);
    const since = clock.now();
    etcd.appliedAt.length = 0;
    etcd.comeBack();
    etcd.fate = ({ op }) => (op === 'grant' ? (grants.push(clock.now() - since), undefined) : undefined);
    await clock.advance(1_110);
    expect(standing()).toHaveLength(CROWD);
    expect(peak(grants)).toBeLessThan(CROWD / 5);
    expect(peak(putsAfter(since))).toBeLessThan(CROWD / 5);
  });

  it('puts itself back over a second when etcd lost its data', async () => {
    const empty = etcd.revision;
    await start(CROWD);
    const since = clock.now();
    etcd.restore(empty);
    await clock.advance(1_200);
    expect(standing()).toHaveLength(CROWD);
    expect(peak(putsAfter(since))).toBeLessThan(CROWD / 5);
  });

  it('puts a single key back at once while the rest stands, and asks for no more than one name', async () => {
    await start(3);
    etcd.delete(keyOf('n1'));
    await clock.advance(5);
    expect(standing()).toHaveLength(3);
    expect(etcd.count('range')).toBe(1);
  });

  it('puts a single key back at once when its lease was revoked and the rest stands', async () => {
    await start(3);
    etcd.endLease(etcd.get(keyOf('n1'))!.lease);
    await clock.advance(10);
    expect(standing()).toHaveLength(3);
  });

  it('puts the key of its only instance back at once: nobody else has lost one', async () => {
    await start(1);
    etcd.delete(keyOf('n0'));
    await clock.advance(5);
    expect(standing()).toHaveLength(1);
  });

  it('takes a service of another name that begins alike for somebody else', async () => {
    await start(2);
    etcd.put('/services/users-v2/x', 'stands', etcd.foreignLease());
    const since = clock.now();
    etcd.delete(...all());
    await clock.advance(1_010);
    expect(standing()).toHaveLength(2);
    expect(Math.max(...putsAfter(since).slice(-2))).toBeGreaterThan(20);
  });

  it.each(['refused', 'unanswered'])('comes back within 2 s when etcd leaves the question %s', async (how) => {
    await start(2);
    etcd.fate = ({ op }) => {
      if (op !== 'range') return undefined;
      return how === 'refused' ? new EtcdRequestError('permission-denied', 'permission denied') : 'hang';
    };
    etcd.delete(keyOf('n1'));
    await clock.advance(1_510);
    expect(standing()).toHaveLength(2);
  });

  it('leaves in the middle of its second without putting its key again', async () => {
    await start(2);
    etcd.delete(...all());
    await clock.advance(4);
    expect(registrars.map(({ states }) => states[0]?.state)).toEqual(['lost', 'lost']);
    etcd.appliedAt.length = 0;
    for (const registrar of registrars) void registrar.deregister();
    await clock.advance(2_000);
    expect(registrars.map(({ states }) => states[0]?.state)).toEqual(['stopped', 'stopped']);
    expect(etcd.appliedAt).toEqual([]);
  });
});
