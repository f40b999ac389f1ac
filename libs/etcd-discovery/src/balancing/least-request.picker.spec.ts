import { describe, expect, it } from 'vitest';
import {
  type TestCandidate,
  candidate,
  candidates,
  noHeaders,
  seeded,
  tally,
} from '../../test/grpc/support/candidates.js';
import { createPicker } from './picker-registry.js';

const least = (seed = 1) => createPicker({ policy: 'least_request' }, seeded(seed));

/** `concurrency` calls at a time, each lasting as many ticks as its instance takes. */
const simulate = (set: TestCandidate[], ticksOf: (id: string) => number, calls: number, concurrency: number) => {
  const picker = least();
  picker.update(set, set);
  const counts: Record<string, number> = {};
  let running: { until: number; of: TestCandidate; ticks: number }[] = [];
  for (let tick = 0, started = 0; started < calls; tick++) {
    for (const { of, ticks } of running.filter(({ until }) => until <= tick)) {
      of.inFlight--;
      of.ewmaMs = of.ewmaMs === 0 ? ticks : of.ewmaMs * 0.9 + ticks * 0.1;
    }
    running = running.filter(({ until }) => until > tick);
    while (running.length < concurrency && started < calls) {
      const of = picker.pick(noHeaders) as TestCandidate;
      of.inFlight++;
      counts[of.id] = (counts[of.id] ?? 0) + 1;
      running.push({ until: tick + ticksOf(of.id), of, ticks: ticksOf(of.id) });
      started++;
    }
  }
  return counts;
};

describe('least_request', () => {
  it('treats equals alike', () => {
    const counts = simulate(candidates('a', 'b', 'c'), () => 5, 9000, 8);
    for (const count of Object.values(counts)) expect(Math.abs(count - 3000)).toBeLessThan(300);
  });

  it('draws by weight, also when nothing is in flight', () => {
    const set = [candidate('a', { weight: 10 }), candidate('b', { weight: 20 }), candidate('c', { weight: 40 })];
    const p = least();
    p.update(set, set);
    const counts = tally(p, 7000);
    expect(counts['a']!).toBeGreaterThan(800);
    expect(counts['c']!).toBeGreaterThan(3600);
  });

  it('sends a slow instance far less than its share', () => {
    const counts = simulate(candidates('a', 'b', 'slow'), (id) => (id === 'slow' ? 50 : 5), 9000, 12);
    expect(counts['slow']!).toBeLessThan(900);
    expect(counts['slow']!).toBeGreaterThan(90);
  });

  it('ignores latency within a factor of two', () => {
    const set = candidates('a', 'b', 'c');
    set[0]!.ewmaMs = 19;
    set[1]!.ewmaMs = 10;
    set[2]!.ewmaMs = 10;
    const p = least();
    p.update(set, set);
    expect(tally(p, 9000)['a']!).toBeGreaterThan(2700);
  });

  it('ignores a factor of two among instances that answer within milliseconds', () => {
    const set = candidates('a', 'b', 'c');
    set[0]!.ewmaMs = 3;
    set[1]!.ewmaMs = 0.3;
    set[2]!.ewmaMs = 0.3;
    const p = least();
    p.update(set, set);
    expect(tally(p, 9000)['a']!).toBeGreaterThan(2700);
  });

  it('gives an instance that only seems slow at least a quarter of its share', () => {
    const set = candidates('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
    for (const one of set) one.ewmaMs = 10;
    set[0]!.ewmaMs = 1000;
    const p = least();
    p.update(set, set);
    expect(tally(p, 20_000)['a']!).toBeGreaterThan(500);
  });
});
