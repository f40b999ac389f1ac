import type { Random } from '../utils/clock.js';

/** One of the candidates, each as likely as its weight says; undefined if there are none. Does no more than two passes. */
export const weightedChoice = <T extends { readonly weight: number }>(
  candidates: readonly T[],
  random: Random,
): T | undefined => {
  let total = 0;
  for (const { weight } of candidates) total += weight;
  let rest = random() * total;
  for (const candidate of candidates) {
    rest -= candidate.weight;
    if (rest < 0) return candidate;
  }
  // Rounding may leave a trace of `rest`.
  return candidates.at(-1);
};
