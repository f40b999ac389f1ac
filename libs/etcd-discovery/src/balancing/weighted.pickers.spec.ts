import { describe, expect, it } from 'vitest';
import { candidate, candidates, noHeaders, seeded, tally } from '../../test/grpc/support/candidates.js';
import { createPicker } from './picker-registry.js';

const weighted = (weights: Record<string, number>) =>
  Object.entries(weights).map(([id, weight]) => candidate(id, { weight }));

describe('weighted_round_robin', () => {
  it('gives each its share exactly, and evenly in time', () => {
    const set = weighted({ a: 10, b: 20, c: 40 });
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    p.update(set, set);
    const counts = tally(p, 700);
    expect(counts['a']).toBeGreaterThanOrEqual(99);
    expect(counts['a']).toBeLessThanOrEqual(101);
    expect(counts['c']).toBeGreaterThanOrEqual(399);
    expect(counts['c']).toBeLessThanOrEqual(401);
    // Smooth: no window of 7 without each of them.
    for (let i = 0; i < 50; i++) expect(Object.keys(tally(p, 8)).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('goes in turn when all weights are equal', () => {
    const set = candidates('a', 'b', 'c');
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(3));
    p.update(set, set);
    expect(tally(p, 3000)).toEqual({ a: 1000, b: 1000, c: 1000 });
  });

  it('follows changed weights from the next pick on and keeps what each is due', () => {
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    p.update(weighted({ a: 10, b: 20, c: 40 }), []);
    tally(p, 700);
    p.update(weighted({ a: 40, b: 20, c: 10 }), []);
    const counts = tally(p, 700);
    expect(counts['a']).toBeGreaterThanOrEqual(399);
    expect(counts['c']).toBeLessThanOrEqual(101);
  });

  it('stays in balance when every pick comes with a new list', () => {
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    const counts: Record<string, number> = {};
    for (let i = 0; i < 3000; i++) {
      p.update(weighted({ a: 10, b: 20, c: 30 }), []);
      const { id } = p.pick(noHeaders);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    expect(counts['a']).toBeGreaterThanOrEqual(498);
    expect(counts['a']).toBeLessThanOrEqual(502);
    expect(counts['c']).toBeGreaterThanOrEqual(1498);
  });
});

describe('weighted_round_robin over changes of the set', () => {
  it('forgets those that left, and lets one that comes back wait its first turn again', () => {
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    const [a, b, c] = candidates('a', 'b', 'c');
    p.update([a!, b!, c!], []);
    tally(p, 30);
    p.update([b!, c!], []);
    expect(tally(p, 300)).toEqual({ b: 150, c: 150 });
    p.update([a!, b!, c!], []);
    // Remembered as due long ago, it would be picked many times in a row first.
    expect(tally(p, 4)['a']).toBeLessThanOrEqual(2);
    expect(tally(p, 300)).toEqual({ a: 100, b: 100, c: 100 });
  });

  it('picks the candidates of the last update', () => {
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    p.update(candidates('a', 'b'), []);
    const later = candidates('a', 'b');
    p.update(later, []);
    for (let i = 0; i < 4; i++) expect(later).toContain(p.pick(noHeaders));
  });

  it('keeps apart two candidates of one id', () => {
    const p = createPicker({ policy: 'weighted_round_robin' }, seeded(1));
    const twins = candidates('a', 'a');
    for (let i = 0; i < 2; i++) {
      p.update(twins, []);
      expect(new Set(Array.from({ length: 4 }, () => p.pick(noHeaders))).size).toBe(2);
    }
  });
});

describe('random', () => {
  it('is independent of what was picked before (chi-square, p = 0.001)', () => {
    const set = candidates('a', 'b', 'c', 'd', 'e');
    const p = createPicker({ policy: 'random' }, seeded(42));
    p.update(set, set);
    const counts = tally(p, 30_000);
    const expected = 6000;
    const chiSquare = Object.values(counts).reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chiSquare).toBeLessThan(18.47);
  });

  it('draws by weight', () => {
    const p = createPicker({ policy: 'random' }, seeded(42));
    p.update(weighted({ a: 10, b: 20, c: 70 }), []);
    const counts = tally(p, 30_000);
    expect(counts['a']! / 3_000).toBeCloseTo(1, 1);
    expect(counts['c']! / 21_000).toBeCloseTo(1, 1);
  });
});
