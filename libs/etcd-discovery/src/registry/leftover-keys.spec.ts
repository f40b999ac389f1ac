import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { RegistryFakeEtcd } from '../../test/support/registry-fake-etcd.js';
import { silentLog } from '../utils/log.js';
import { LeftoverKeys } from './leftover-keys.js';

const KEY = '/services/users/a1';

describe('a key that was removed', () => {
  let clock: FakeClock;
  let etcd: RegistryFakeEtcd;
  let leftovers: LeftoverKeys;
  let lease: string;

  /** etcd is away, and comes back as it was when the key stood. */
  const restored = async () => {
    etcd.goDown({ keepLeases: true });
    etcd.restore(withKey);
    await clock.advance(4_000);
    etcd.comeBack();
    expect(etcd.get(KEY)?.lease).toBe(lease);
    await clock.advance(1_010);
  };
  let withKey: number;

  beforeEach(() => {
    clock = new FakeClock();
    etcd = new RegistryFakeEtcd(clock);
    leftovers = new LeftoverKeys({ etcd, clock, random: () => 0.99, log: silentLog });
    lease = etcd.foreignLease();
    etcd.put(KEY, 'x', lease);
    withKey = etcd.revision;
    etcd.delete(KEY);
    leftovers.wasRemoved(KEY, lease);
  });

  it('is removed again when a restored etcd brings it back', async () => {
    await restored();
    expect(etcd.get(KEY)).toBeUndefined();
    // And again, when it comes back again.
    await restored();
    expect(etcd.get(KEY)).toBeUndefined();
  });

  it('costs etcd one read after an outage, and no write', async () => {
    etcd.goDown({ keepLeases: true });
    etcd.comeBack();
    await clock.advance(10_000);
    expect(etcd.requests.map(({ op }) => op)).toEqual(['range']);
  });

  it('stays when it came back under the lease of somebody else', async () => {
    const other = etcd.foreignLease();
    etcd.put(KEY, 'y', other);
    etcd.goDown({ keepLeases: true });
    etcd.comeBack();
    await clock.advance(5_000);
    expect(etcd.count('range')).toBe(1);
    expect(etcd.get(KEY)?.lease).toBe(other);
  });

  it('stays when it is wanted again', async () => {
    await leftovers.forget(KEY);
    await restored();
    expect(etcd.get(KEY)).toBeDefined();
  });

  it('stays when it is wanted again while its removal is under way', async () => {
    etcd.put(KEY, 'x', lease);
    leftovers.add(KEY, lease, false);
    await clock.advance(0);
    expect(etcd.count('txn')).toBe(1);
    const forgotten = leftovers.forget(KEY);
    await clock.advance(10);
    await forgotten;
    expect(etcd.get(KEY)).toBeUndefined();
    etcd.put(KEY, 'x', lease);
    etcd.goDown({ keepLeases: true });
    etcd.comeBack();
    await clock.advance(5_000);
    expect(etcd.get(KEY)).toBeDefined();
  });

  it('is left to its lease when nobody renews that any more', async () => {
    leftovers.leaseEnded(lease);
    await restored();
    expect(etcd.count('range')).toBe(0);
  });

  it('is looked for until etcd says what has become of it', async () => {
    etcd.goDown({ keepLeases: true });
    etcd.restore(withKey);
    etcd.comeBack();
    etcd.fate = ({ op }) => (op === 'range' ? new Error('too many requests') : undefined);
    await clock.advance(4_000);
    expect(etcd.count('range')).toBeGreaterThan(1);
    expect(etcd.count('txn')).toBe(0);
    etcd.fate = () => undefined;
    await clock.advance(5_010);
    expect(etcd.count('txn')).toBe(1);
    expect(etcd.get(KEY)).toBeUndefined();
  });

  it('is not looked for after the end, of which nothing is left', async () => {
    etcd.goDown({ keepLeases: true });
    etcd.comeBack();
    leftovers.close();
    await clock.advance(10_000);
    expect(etcd.requests).toEqual([]);
    expect(etcd.gate.listenerCount).toBe(0);
    leftovers.wasRemoved(KEY, lease);
    expect(etcd.gate.listenerCount).toBe(0);
  });

  it('is one of 64 that are remembered', async () => {
    for (let i = 0; i < 70; i++) leftovers.wasRemoved(`${KEY}-${i}`, lease);
    etcd.goDown({ keepLeases: true });
    etcd.comeBack();
    await clock.advance(2_000);
    expect(etcd.count('range')).toBe(64);
  });
});
