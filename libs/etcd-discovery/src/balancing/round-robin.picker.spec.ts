import { describe, expect, it } from 'vitest';
import { candidate, candidates, noHeaders, seeded, tally } from '../../test/grpc/support/candidates.js';
import { createPicker } from './picker-registry.js';

describe('round_robin', () => {
  const picker = () => createPicker({ policy: 'round_robin' }, seeded(1));

  it('is exact over a stable set, weights or not', () => {
    const set = [candidate('a', { weight: 1 }), candidate('b', { weight: 100 }), candidate('c')];
    const p = picker();
    p.update(set, set);
    expect(tally(p, 3000)).toEqual({ a: 1000, b: 1000, c: 1000 });
    expect(Object.values(tally(p, 3001)).toSorted((a, b) => a - b)).toEqual([1000, 1000, 1001]);
  });

  it('is not thrown off by pushes that change nothing', () => {
    const p = picker();
    const counts: Record<string, number> = {};
    for (let i = 0; i < 1000; i++) {
      // A new list of new objects, as after any change elsewhere, in another order each time.
      const set = i % 2 ? candidates('a', 'b', 'c') : candidates('c', 'a', 'b');
      p.update(set, set);
      const { id } = p.pick(noHeaders);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    expect(Math.max(...Object.values(counts)) - Math.min(...Object.values(counts))).toBeLessThanOrEqual(1);
  });

  it('never lets two that stay differ by more than one pick while others come and go', () => {
    const p = picker();
    const random = seeded(7);
    const counts = { a: 0, b: 0, c: 0 } as Record<string, number>;
    for (let i = 0; i < 5000; i++) {
      if (random() < 0.3) {
        const guests = ['x', 'y', 'z'].filter(() => random() < 0.5);
        const set = candidates(...['a', 'b', 'c', ...guests].toSorted(() => random() - 0.5));
        p.update(set, set);
      } else if (i === 0) p.update(candidates('a', 'b', 'c'), []);
      const { id } = p.pick(noHeaders);
      if (id in counts) counts[id]!++;
      const { a = 0, b = 0, c = 0 } = counts;
      expect(Math.max(a, b, c) - Math.min(a, b, c)).toBeLessThanOrEqual(1);
    }
  });

  it('begins at different instances in different clients', () => {
    const set = candidates('a', 'b', 'c', 'd');
    const starts = new Set(
      Array.from({ length: 40 }, (_, seed) => {
        const p = createPicker({ policy: 'round_robin' }, seeded(seed));
        p.update(set, set);
        return p.pick(noHeaders).id;
      }),
    );
    expect(starts.size).toBe(4);
  });
});
