import type { Random } from '../utils/clock.js';
import type { PickCandidate, Picker, PickerFactory } from './picker.interface.js';

/**
 * `round_robin`: in turn, weights ignored. Among instances that stay in the set, no two ever differ by more than one
 * pick, also while others come and go: the order of those that stay is kept, and the turn goes on where it was.
 */
class RoundRobinPicker implements Picker {
  /** In picking order; the next pick is at `cursor`. */
  private cycle: PickCandidate[] = [];
  private cursor = 0;

  constructor(private readonly random: Random) {}

  update(ready: readonly PickCandidate[]): void {
    const current = new Map(ready.map((candidate) => [candidate.id, candidate]));
    const cycle: PickCandidate[] = [];
    for (let i = 0; i < this.cycle.length; i++) {
      const { id } = this.cycle[(this.cursor + i) % this.cycle.length]!;
      const candidate = current.get(id);
      if (!candidate) continue;
      cycle.push(candidate);
      current.delete(id);
    }
    // Newcomers go behind those who wait, in an order of this client's own, or a thousand clients would all begin at
    // the same instance.
    const newcomers = [...current.values()];
    const start = Math.floor(this.random() * newcomers.length);
    this.cycle = [...cycle, ...newcomers.slice(start), ...newcomers.slice(0, start)];
    this.cursor = 0;
  }

  pick(): PickCandidate {
    const candidate = this.cycle[this.cursor]!;
    this.cursor = this.cursor + 1 === this.cycle.length ? 0 : this.cursor + 1;
    return candidate;
  }
}

export const createRoundRobinPicker: PickerFactory = (_config, random) => new RoundRobinPicker(random);
