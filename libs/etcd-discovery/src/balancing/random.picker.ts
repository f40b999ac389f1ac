import type { PickCandidate, Picker, PickerFactory } from './picker.interface.js';
import { WeightedDraw } from './weighted-draw.js';

/** `random`: independent draws, by weight. */
export const createRandomPicker: PickerFactory = (_config, random): Picker => {
  let ready: readonly PickCandidate[] = [];
  let draw = new WeightedDraw([]);
  return {
    update(candidates) {
      ready = candidates;
      draw = new WeightedDraw(candidates.map((candidate) => candidate.weight));
    },
    pick: () => ready[draw.draw(random)]!,
  };
};
