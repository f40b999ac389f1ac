import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import type { Random } from '../utils/clock.js';
import { HashRing } from './hash-ring.js';
import type { PickCandidate, Picker, PickerFactory, PickRequest, PolicyConfig } from './picker.interface.js';
import { WeightedDraw } from './weighted-draw.js';

export const DEFAULT_HASH_HEADER = 'x-hash-key';

type KeyOf = (request: PickRequest) => string | undefined;

const keyFunction = (config: PolicyConfig): KeyOf => {
  const { key, header = DEFAULT_HASH_HEADER } = config;
  if (typeof key === 'function') {
    return (request) => {
      const value: unknown = key(request.metadata);
      return typeof value === 'string' ? value : undefined;
    };
  }
  if (key !== undefined || typeof header !== 'string' || header === '') {
    throw new InvalidOptionsError(
      'loadBalancing: consistent_hash takes `header` (name of a metadata entry) or `key` (a function of the metadata)',
    );
  }
  const name = header.toLowerCase();
  return (request) => request.header(name);
};

/**
 * `consistent_hash`: calls with the same key go to the same instance while it is ready. A call without a key goes
 * anywhere, by weight.
 *
 * Config: `header`, the metadata entry that holds the key (default `x-hash-key`), or `key`, a function of the metadata.
 */
class ConsistentHashPicker implements Picker {
  private ready: readonly PickCandidate[] = [];
  private all: readonly PickCandidate[] = [];
  private ring = new HashRing([]);
  private onRing: readonly { id: string; weight: number }[] = [];
  private usable = new Uint8Array(0);
  private draw = new WeightedDraw([]);

  constructor(
    private readonly keyOf: KeyOf,
    private readonly random: Random,
  ) {}

  update(ready: readonly PickCandidate[], all: readonly PickCandidate[]): void {
    // Positions come from the ids, so the order must too: two clients that learn of instances in different order agree.
    const sorted = [...all].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    if (!this.isOnRing(sorted)) {
      this.ring = new HashRing(sorted);
      this.onRing = sorted.map(({ id, weight }) => ({ id, weight }));
    }
    const usable = new Set(ready.map((candidate) => candidate.id));
    this.usable = Uint8Array.from(sorted, (candidate) => (usable.has(candidate.id) ? 1 : 0));
    this.all = sorted;
    this.ready = ready;
    this.draw = new WeightedDraw(ready.map((candidate) => candidate.weight));
  }

  pick(request: PickRequest): PickCandidate {
    const key = this.keyOf(request);
    const owner = key === undefined ? -1 : this.ring.lookup(key, this.usable);
    return owner < 0 ? this.ready[this.draw.draw(this.random)]! : this.all[owner]!;
  }

  private isOnRing(sorted: readonly PickCandidate[]): boolean {
    if (sorted.length !== this.onRing.length) return false;
    return sorted.every(({ id, weight }, i) => this.onRing[i]!.id === id && this.onRing[i]!.weight === weight);
  }
}

export const createConsistentHashPicker: PickerFactory = (config, random) =>
  new ConsistentHashPicker(keyFunction(config), random);
