import { type HerdScenario, simulateHerd } from '../libs/etcd-discovery/test/herd/simulate-herd.js';
import type { HerdCosts } from '../libs/etcd-discovery/test/herd/simulated-etcd.js';
import { WINDOW_MS } from './herd.real.js';
import { peakPerSecond } from './support/process-usage.js';

/**
 * Two totals and two sizes were measured in the real run, on two cores with Node 20 and etcd 3.4: a restart after 5 s
 * costs 200 clients 4.2–5.4 s of CPU together, with about nine dials and five lists each, and etcd 0.5 s; a list of 20
 * instances is 6.7 kB on the wire, its keys alone 1.25 kB. How the totals divide among dials, lists and small requests
 * is fitted to them, not measured.
 */
const COSTS: HerdCosts = {
  clientConnectMs: 2,
  clientListMs: 1,
  serverConnectMs: 0.3,
  serverListMs: 0.15,
  serverKeysOnlyMs: 0.1,
  serverSmallMs: 0.08,
  listBytes: 6_700,
  keysOnlyBytes: 1_250,
};
/** The crowd has come back long before; values may be read later. */
const WATCH_MS = 90_000;
const SECOND_MS = 1_000;

export interface SimulatedRun {
  readonly clients: number;
  readonly jitter: boolean;
  readonly downMs: number;
  readonly lists: number;
  readonly listsWithValues: number;
  readonly peakListsPerSecond: number;
  readonly peakListsWithValuesPerSecond: number;
  readonly peakBytesPerSecond: number;
  /** Of one core. */
  readonly peakCpuShare: number;
  readonly lastListMs: number;
}

/** The same figures as of the real run, out of the simulator. */
export const simulatedRun = async (
  scenario: Pick<HerdScenario, 'clients' | 'jitter' | 'downMs' | 'seed' | 'shared'>,
): Promise<SimulatedRun> => {
  const { lists, busy } = await simulateHerd({ ...scenario, watchMs: WATCH_MS, costs: COSTS });
  const { clients, jitter, downMs } = scenario;
  const sentAt = lists.map((list) => list.sentAt);
  const withValues = lists.filter(({ keysOnly }) => !keysOnly).map((list) => list.sentAt);
  const perWindow = (of: (each: (typeof busy)[number]) => number): number => {
    const windows = new Map<number, number>();
    for (const each of busy) {
      const at = Math.floor(each.to / WINDOW_MS);
      windows.set(at, (windows.get(at) ?? 0) + of(each));
    }
    return (Math.max(0, ...windows.values()) * SECOND_MS) / WINDOW_MS;
  };
  return {
    clients,
    jitter,
    downMs,
    lists: lists.length,
    listsWithValues: withValues.length,
    peakListsPerSecond: peakPerSecond(sentAt, WINDOW_MS),
    peakListsWithValuesPerSecond: peakPerSecond(withValues, SECOND_MS),
    peakBytesPerSecond: perWindow(({ bytes }) => bytes),
    peakCpuShare: perWindow(({ from, to }) => to - from) / SECOND_MS,
    lastListMs: sentAt.reduce((last, moment) => Math.max(last, moment), 0),
  };
};
