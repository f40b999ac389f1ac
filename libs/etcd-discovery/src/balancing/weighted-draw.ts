import type { Random } from '../utils/clock.js';

/**
 * Draws indexes with probability proportional to their weight, in constant time whatever their number: the alias method
 * (Walker 1977, in the form of Vose 1991). Equal weights need no table at all.
 */
export class WeightedDraw {
  private readonly size: number;
  private readonly keep?: Float64Array;
  private readonly alias?: Uint32Array;

  constructor(weights: readonly number[]) {
    this.size = weights.length;
    if (weights.every((weight) => weight === weights[0])) return;
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const keep = Float64Array.from(weights, (weight) => (weight * this.size) / total);
    const alias = new Uint32Array(this.size);
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < this.size; i++) (keep[i]! < 1 ? small : large).push(i);
    while (small.length > 0 && large.length > 0) {
      const under = small.pop()!;
      const over = large.pop()!;
      alias[under] = over;
      keep[over] = keep[over]! + keep[under]! - 1;
      (keep[over] < 1 ? small : large).push(over);
    }
    // What is left is 1 up to rounding.
    for (const i of [...small, ...large]) keep[i] = 1;
    this.keep = keep;
    this.alias = alias;
  }

  draw(random: Random): number {
    const scaled = random() * this.size;
    const index = Math.floor(scaled);
    if (!this.keep || scaled - index < this.keep[index]!) return index;
    return this.alias![index]!;
  }

  /** A second index that differs from `first` where the weights allow it within three draws. */
  drawOther(first: number, random: Random): number {
    if (!this.keep) {
      const index = Math.floor(random() * (this.size - 1));
      return index < first ? index : index + 1;
    }
    let index = first;
    for (let i = 0; i < 3 && index === first; i++) index = this.draw(random);
    return index;
  }
}
