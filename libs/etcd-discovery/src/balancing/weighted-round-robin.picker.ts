import type { Random } from '../utils/clock.js';
import type { PickCandidate, Picker, PickerFactory } from './picker.interface.js';

interface Entry {
  candidate: PickCandidate;
  weight: number;
  /** Virtual time of its next turn. */
  due: number;
  /** Breaks ties, so that equal weights go in a fixed order. */
  readonly order: number;
  /** Number of the last update that named it. */
  update: number;
}

const before = (a: Entry, b: Entry): boolean => a.due < b.due || (a.due === b.due && a.order < b.order);

/**
 * `weighted_round_robin`: smooth, by static weight. Earliest deadline first: whoever is picked is due again 1/weight
 * later, so that weights 5:1:1 give a a b a a c a rather than a a a a a b c. A heap makes a pick O(log n), where the
 * well-known form (nginx) touches every instance. What each is due is kept by id across changes of the set.
 */
class WeightedRoundRobinPicker implements Picker {
  private heap: Entry[] = [];
  /** Those of the heap by id, kept from one update to the next: a change of one of ten thousand makes one entry. */
  private readonly entries = new Map<string, Entry>();
  private now = 0;
  private joined = 0;
  private updates = 0;

  constructor(private readonly random: Random) {}

  update(ready: readonly PickCandidate[]): void {
    this.updates++;
    const heap: Entry[] = [];
    for (const candidate of ready) heap.push(this.entryFor(candidate));
    this.heap = heap;
    if (this.entries.size > heap.length) {
      for (const [id, { update }] of this.entries) if (update !== this.updates) this.entries.delete(id);
    }
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) this.sink(i);
  }

  pick(): PickCandidate {
    const next = this.heap[0]!;
    this.now = next.due;
    next.due += 1 / next.weight;
    this.sink(0);
    return next.candidate;
  }

  private entryFor(candidate: PickCandidate): Entry {
    const { id, weight } = candidate;
    const known = this.entries.get(id);
    if (known && known.update !== this.updates) {
      known.candidate = candidate;
      known.update = this.updates;
      // A changed weight scales what is left of the wait; it neither skips a turn nor grants one.
      if (known.weight !== weight) known.due = this.now + ((known.due - this.now) * known.weight) / weight;
      known.weight = weight;
      return known;
    }
    // Spread over its first period: a crowd that joins together must not be due together.
    const due = this.now + this.random() / weight;
    const entry: Entry = { candidate, weight, due, order: this.joined++, update: this.updates };
    this.entries.set(id, entry);
    return entry;
  }

  private sink(index: number): void {
    const { heap } = this;
    const entry = heap[index]!;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, entry)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = entry;
  }
}

export const createWeightedRoundRobinPicker: PickerFactory = (_config, random) => new WeightedRoundRobinPicker(random);
