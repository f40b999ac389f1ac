import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from './latency-histogram.js';

const of = (...values: number[]) => {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
};

describe('percentiles', () => {
  it('are within 5 % above the true value', () => {
    const values = Array.from({ length: 1_000 }, (_, index) => 0.1 + index * 0.37);
    const histogram = of(...values);
    for (const quantile of [0.01, 0.5, 0.9, 0.99, 1]) {
      const truth = values[Math.ceil(quantile * values.length) - 1] as number;
      expect((histogram.percentile(quantile) as number) / truth).toBeGreaterThanOrEqual(1 - 1e-9);
      expect((histogram.percentile(quantile) as number) / truth).toBeLessThanOrEqual(1.05 + 1e-9);
    }
  });

  it('are unknown while nothing was recorded', () => {
    expect(of().percentile(0.5)).toBeUndefined();
  });

  it('bear the smallest and the largest values', () => {
    expect(of(0).percentile(0.5)).toBe(0.05);
    expect(of(1e9).percentile(0.5)).toBeGreaterThan(100_000);
  });
});

describe('adding up', () => {
  it('gives what recording in one place gives', () => {
    const sum = LatencyHistogram.from(of(1, 2, 3).toData());
    sum.add(of(100, 200).toData());
    expect(sum.toData()).toEqual(of(1, 2, 3, 100, 200).toData());
    expect(sum.count).toBe(5);
  });
});
