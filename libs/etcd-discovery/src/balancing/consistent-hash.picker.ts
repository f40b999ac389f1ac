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
  private ring = new HashRing([]);
  /** Index on the ring and weight there, by id. */
  private places = new Map<string, { readonly index: number; readonly weight: number }>();
  /** By index on the ring: the candidate, and 1 where it is ready. */
  private candidates: PickCandidate[] = [];
  private usable = new Uint8Array(0);
  private draw = new WeightedDraw([]);

  constructor(
    private readonly keyOf: KeyOf,
    private readonly random: Random,
  ) {}

  update(ready: readonly PickCandidate[], all: readonly PickCandidate[]): void {
    if (!this.isOnRing(all)) {
      const members = all.map(({ id, weight }) => ({ id, weight }));
      this.ring = new HashRing(members);
      this.places = new Map(members.map(({ id, weight }, index) => [id, { index, weight }]));
    }
    this.candidates = [];
    this.usable = new Uint8Array(all.length);
    for (const candidate of ready) {
      const { index } = this.places.get(candidate.id)!;
      this.candidates[index] = candidate;
      this.usable[index] = 1;
    }
    this.ready = ready;
    this.draw = new WeightedDraw(ready.map((candidate) => candidate.weight));
  }

  pick(request: PickRequest): PickCandidate {
    const key = this.keyOf(request);
    const index = key === undefined ? -1 : this.ring.lookup(key, this.usable);
    return this.candidates[index] ?? this.ready[this.draw.draw(this.random)]!;
  }

  private isOnRing(all: readonly PickCandidate[]): boolean {
    if (all.length !== this.places.size) return false;
    return all.every(({ id, weight }) => this.places.get(id)?.weight === weight);
  }
}

export const createConsistentHashPicker: PickerFactory = (config, random) =>
  new ConsistentHashPicker(keyFunction(config), random);
