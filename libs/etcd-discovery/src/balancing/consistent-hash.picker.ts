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
  private readonly ring = new HashRing([]);
  /** By index on the ring: the candidate, and 1 where it is ready. */
  private candidates: PickCandidate[] = [];
  private usable = new Uint8Array(0);
  /** Made by the first call without a key. */
  private draw: WeightedDraw | undefined;

  constructor(
    private readonly keyOf: KeyOf,
    private readonly random: Random,
  ) {}

  update(ready: readonly PickCandidate[], all: readonly PickCandidate[]): void {
    this.ring.update(all);
    this.candidates = [];
    this.usable = new Uint8Array(this.ring.size);
    for (const candidate of ready) {
      const index = this.ring.indexOf(candidate.id)!;
      this.candidates[index] = candidate;
      this.usable[index] = 1;
    }
    this.ready = ready;
    this.draw = undefined;
  }

  pick(request: PickRequest): PickCandidate {
    const key = this.keyOf(request);
    const index = key === undefined ? -1 : this.ring.lookup(key, this.usable);
    return this.candidates[index] ?? this.any();
  }

  private any(): PickCandidate {
    this.draw ??= new WeightedDraw(this.ready.map(({ weight }) => weight));
    return this.ready[this.draw.draw(this.random)]!;
  }
}

export const createConsistentHashPicker: PickerFactory = (config, random) =>
  new ConsistentHashPicker(keyFunction(config), random);
