import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../test/support/fake-clock.js';
import { weightedChoice } from './weighted-choice.js';

describe('a weighted choice', () => {
  it('is nothing among none', () => {
    expect(weightedChoice([], Math.random)).toBeUndefined();
  });

  it('falls on each as often as its weight says', () => {
    const candidates = [
      { id: 'a', weight: 10 },
      { id: 'b', weight: 30 },
      { id: 'c', weight: 60 },
    ];
    const random = seededRandom(7);
    const picks = { a: 0, b: 0, c: 0 } as Record<string, number>;
    for (let i = 0; i < 10_000; i += 1) picks[weightedChoice(candidates, random)!.id]! += 1;
    expect(picks['a']! / 1_000).toBeCloseTo(1, 0);
    expect(picks['b']! / 3_000).toBeCloseTo(1, 1);
    expect(picks['c']! / 6_000).toBeCloseTo(1, 1);
  });

  it('has an answer at either end of the random numbers', () => {
    const candidates = [{ weight: 0.1 }, { weight: 0.2 }, { weight: 0.3 }];
    expect(weightedChoice(candidates, () => 0)).toBe(candidates[0]);
    expect(weightedChoice(candidates, () => 1 - Number.EPSILON / 2)).toBe(candidates[2]);
  });
});
