import type { PickCandidate, Picker, PickRequest } from '../../../src/balancing/picker.interface.js';
import { instanceOf } from './fake-connection.js';

export interface TestCandidate extends PickCandidate {
  inFlight: number;
  ewmaMs: number;
}

export const candidate = (id: string, fields: { weight?: number; zone?: string } = {}): TestCandidate => ({
  id,
  weight: 10,
  ...fields,
  instance: instanceOf(id, '10.0.0.1:1', fields),
  inFlight: 0,
  ewmaMs: 0,
});

export const candidates = (...ids: string[]): TestCandidate[] => ids.map((id) => candidate(id));

export const noHeaders: PickRequest = { header: () => undefined };

/** How often each id was picked in `n` picks. */
export const tally = (picker: Picker, n: number, request: (i: number) => PickRequest = () => noHeaders) => {
  const counts: Record<string, number> = {};
  for (let i = 0; i < n; i++) {
    const { id } = picker.pick(request(i));
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
};

/** A seeded source of numbers in [0, 1) (mulberry32): distributions repeat. */
export const seeded = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
