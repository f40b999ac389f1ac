import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { RegistryFakeEtcd } from '../../test/support/registry-fake-etcd.js';
import { type KeySighting, OwnKeyWatch } from './own-key.watch.js';

const KEY = '/services/users/a1';
/** When the key is read beside its watch, with the middle of the jitter. */
const RECONCILE_MS = 300_000;

describe('the read beside the watch', () => {
  const followed = async () => {
    const clock = new FakeClock();
    const etcd = new RegistryFakeEtcd(clock);
    const seen: KeySighting[] = [];
    etcd.put(KEY, 'x');
    const watch = new OwnKeyWatch({
      etcd,
      key: KEY,
      clock,
      random: () => 0.5,
      epoch: () => 0,
      seen: (sighting) => seen.push(sighting),
    });
    watch.follow(etcd.revision);
    await clock.advance(RECONCILE_MS - 1);
    expect(seen).toEqual([]);
    return { clock, etcd, seen, watch };
  };

  it('shows what the watch has missed', async () => {
    const { clock, seen, watch } = await followed();
    await clock.advance(10);
    expect(seen).toMatchObject([{ source: 'list', found: { key: KEY }, revision: 2 }]);
    watch.close();
    expect(clock.pending).toBe(0);
  });

  it('shows nothing that the watch has overtaken', async () => {
    const { clock, etcd, seen } = await followed();
    etcd.latencyMs = 50;
    await clock.advance(1);
    expect(etcd.count('range')).toBe(1);
    etcd.latencyMs = 1;
    etcd.delete(KEY);
    await clock.advance(100);
    expect(seen).toMatchObject([{ source: 'event', revision: 3 }]);
  });

  it('shows nothing when the watch has ended meanwhile: the read after a break is asked for later', async () => {
    const { clock, etcd, seen } = await followed();
    etcd.latencyMs = 50;
    await clock.advance(1);
    etcd.latencyMs = 1;
    etcd.endWatches({ reason: 'error', error: new Error('reset') });
    etcd.put(KEY, 'y');
    await clock.advance(1_000);
    expect(seen).toMatchObject([{ source: 'list', revision: 3 }]);
  });
});
