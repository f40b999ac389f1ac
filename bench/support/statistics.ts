/** The value below which `share` (0–1) of the samples lie, by the nearest-rank method. */
export const quantile = (samples: readonly number[], share: number): number => {
  if (samples.length === 0) return Number.NaN;
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
};

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);
