import { describe, expect, it } from 'vitest';
import { RelistDelay } from './relist-delay.js';

const delays = (random: number, kind: 'lost' | 'refused', hasCache: boolean, count = 8): number[] => {
  const delay = new RelistDelay(() => random);
  return Array.from({ length: count }, () => delay.next(kind, hasCache));
};

describe('the wait before a list', () => {
  it('is none for the first list and for the reconciling one', () => {
    const delay = new RelistDelay(() => 1);
    expect([delay.next(undefined, false), delay.next('reconcile', true)]).toEqual([0, 0]);
  });

  it('spreads the lists of clients with a cache over 1.5 s after a lost connection', () => {
    expect(delays(1, 'lost', true, 5)).toEqual([1_500, 1_500, 1_500, 1_500, 1_500]);
    expect(delays(0.2, 'lost', true, 2)).toEqual([300, 300]);
  });

  it('begins within 100 ms and doubles where nobody else lists, or calls wait', () => {
    const doubling = [100, 200, 400, 800, 1_500];
    expect(delays(1, 'refused', true, 5)).toEqual(doubling);
    expect(delays(1, 'lost', false, 5)).toEqual(doubling);
  });

  it('is at least 1 s from the sixth attempt in a row on, whatever the luck', () => {
    for (const kind of ['lost', 'refused'] as const) {
      expect(delays(0, kind, true)).toEqual([0, 0, 0, 0, 0, 1_000, 1_000, 1_000]);
      expect(delays(1, kind, true).slice(5)).toEqual([1_500, 1_500, 1_500]);
    }
  });

  it('begins anew when a watch has lived for a while', () => {
    const delay = new RelistDelay(() => 1);
    for (let n = 0; n < 9; n += 1) delay.next('refused', true);
    delay.reset();
    expect(delay.next('refused', true)).toBe(100);
  });
});
