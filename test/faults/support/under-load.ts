import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/child-process.js';
import type { RawEtcd } from '../../support/raw-etcd.js';
import { type Fleet, cacheEqualsEtcd } from './fleet.js';
import type { RowContext } from './row-context.js';

export interface UnderLoad {
  /** A healthy endpoint of etcd once the fault is over. */
  readonly etcd: string | (() => Promise<string>);
  /** Fewest instances the client may ever show. Default: half of those there are. */
  readonly lowest?: number;
  /** Bound of the time until the cache equals etcd, ms. Default: 3,000, for a connection that was lost. */
  readonly equalWithinMs?: number;
  /** How long calls go on afterwards, ms. Default: one TTL, so that an expiry still to come is seen. */
  readonly afterMs?: number;
}

/**
 * 200 calls a second before, during and after `fault`, and the figures of every row that names failed calls: how many
 * failed (promise: none), the fewest instances the client showed, and when its cache was right again (P8).
 */
export const underLoad = async (
  row: RowContext,
  fleet: Fleet,
  fault: () => Promise<void>,
  { etcd, lowest = Math.ceil(fleet.following.size / 2), equalWithinMs = 3_000, afterMs = row.ttlMs }: UnderLoad,
): Promise<void> => {
  const told = fleet.following.told.length;
  const load = fleet.load();
  await delay(500);
  await fault();
  const healthy = typeof etcd === 'string' ? etcd : await etcd();
  const equal = await cacheEqualsEtcd(row, fleet.discovery, healthy);
  row.figure('cache equals etcd after', equal, 'ms', { atMost: equalWithinMs });
  await delay(afterMs);
  const { calls, failures } = await load.stop();
  row.figure('calls', calls, '', { atLeast: 200 });
  row.figure('failed calls', failures.length, '', { atMost: 0 });
  row.figure('lowest instance count', fleet.following.lowest(told), '', { atLeast: lowest });
  row.figure('instances at the end', fleet.following.size);
  if (failures.length > 0) console.log(`row ${row.name}: ${[...new Set(failures)].slice(0, 5).join('; ')}`);
};

/** `key lease` of every instance of the row, sorted. */
export const keysUnderLeases = async (row: RowContext, raw: RawEtcd): Promise<string[]> =>
  (await raw.keys(`${row.namespace}/`)).map(({ key, lease }) => `${key} ${lease}`).toSorted();

/** How many of `before` are still there, under the same lease. */
export const kept = async (row: RowContext, raw: RawEtcd, before: readonly string[]): Promise<number> => {
  const now = await keysUnderLeases(row, raw);
  return before.filter((key) => now.includes(key)).length;
};

/** Resolves with how long it took, ms, until every one of `keys` is in etcd, under whichever lease. */
export const allBack = async (row: RowContext, raw: RawEtcd, keys: readonly string[]): Promise<number> => {
  const startedAt = performance.now();
  const wanted = keys.map((line) => line.split(' ')[0]!);
  let missing: string[] = [];
  await eventually(
    'every key is back in etcd',
    async () => {
      const stored = new Set((await raw.keys(`${row.namespace}/`)).map(({ key }) => key));
      missing = wanted.filter((key) => !stored.has(key));
      return missing.length === 0;
    },
    30_000,
    () => `missing: ${missing.join(', ')}`,
  );
  return performance.now() - startedAt;
};

/**
 * Follows the keys of `before` until each is back under another lease: how many vanished or moved, and the time from
 * the first loss to the last return, ms. Gives up waiting for a loss after 3 s: then nothing was lost.
 */
export const lostAndBack = async (
  row: RowContext,
  raw: RawEtcd,
  before: readonly string[],
): Promise<{ readonly lost: number; readonly backMs: number }> => {
  const lost = new Set<string>();
  let firstLossAt: number | undefined;
  let missing: string[] = [];
  const startedAt = performance.now();
  return eventually(
    'every lost key is back in etcd',
    async () => {
      const now = await keysUnderLeases(row, raw);
      const at = performance.now();
      for (const line of before) if (!now.includes(line)) lost.add(line);
      if (lost.size > 0) firstLossAt ??= at;
      const names = new Set(now.map((line) => line.split(' ')[0]!));
      missing = before.map((line) => line.split(' ')[0]!).filter((name) => !names.has(name));
      const settled = lost.size === before.length || at - startedAt > 3_000;
      if (missing.length > 0 || !settled) return undefined;
      return { lost: lost.size, backMs: firstLossAt === undefined ? 0 : at - firstLossAt };
    },
    30_000,
    () => `missing: ${missing.join(', ')}`,
  );
};
