import { describe, expect, it } from 'vitest';
import { type HerdScenario, simulateHerd } from './simulate-herd.js';
import { WATCHED_BY_EACH } from './herd-shape.js';

const CLIENTS = 40;
const LISTS = CLIENTS * WATCHED_BY_EACH;

const scenario = (differing: Partial<HerdScenario> = {}): HerdScenario => ({
  clients: CLIENTS,
  jitter: true,
  downMs: 6_000,
  watchMs: 10_000,
  seed: 1,
  shared: false,
  costs: {
    clientConnectMs: 2,
    clientListMs: 1,
    serverConnectMs: 0.1,
    serverListMs: 0.1,
    serverKeysOnlyMs: 0.1,
    serverSmallMs: 0.1,
    listBytes: 1_000,
    keysOnlyBytes: 100,
  },
  ...differing,
});

const most = (moments: readonly number[], withinMs: number): number =>
  Math.max(...moments.map((from) => moments.filter((at) => at >= from && at < from + withinMs).length));

describe('a crowd of clients after a restart of etcd', () => {
  it('lists each service once, further apart than the gates alone would have them; without jitter all at the same time', async () => {
    const spread = (await simulateHerd(scenario())).lists.map(({ sentAt }) => sentAt);
    const together = (await simulateHerd(scenario({ jitter: false }))).lists.map(({ sentAt }) => sentAt);
    expect([spread.length, together.length]).toEqual([LISTS, LISTS]);
    expect(most(together, 100)).toBe(LISTS);
    // The gates alone spread them over 1.1 s.
    expect(Math.max(...spread) - Math.min(...spread)).toBeGreaterThan(1_600);
    expect(most(together, 100) / most(spread, 100)).toBeGreaterThanOrEqual(5);
  });

  it('reads no value that it knows when etcd was away for less than a heartbeat', async () => {
    const { lists } = await simulateHerd(scenario({ downMs: 500 }));
    expect(lists.length).toBeGreaterThanOrEqual(LISTS);
    expect(lists.filter(({ keysOnly }) => !keysOnly)).toEqual([]);
  });

  it('is the same again for the same seed', async () => {
    expect(await simulateHerd(scenario({ seed: 7 }))).toEqual(await simulateHerd(scenario({ seed: 7 })));
  });
});
