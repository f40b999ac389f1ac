import { GOLDEN, hashText, mix, RingPoints } from './ring-points.js';

/**
 * Probes per lookup. With one position per probe and the nearest of all winning, 21 bring the busiest of equal
 * instances to within about 5 % of the mean (Appleton and O'Reilly, "Multi-probe consistent hashing", 2015).
 */
const PROBES = 21;

/** Points on the ring beyond which all weights are scaled down: 10,000 instances of weight 10 just fit. */
const MAX_POINTS = 2 ** 17;

const RING_SIZE = 2 ** 32;

export interface RingOwner {
  readonly id: string;
  readonly weight: number;
}

/** What the ring keeps of an owner. */
interface Place {
  readonly index: number;
  weight: number;
  /** Number of the last update that named it. */
  update: number;
}

/**
 * Consistent hashing with few points and many probes. Only the keys of an instance that leaves move, and only to an
 * instance that joins do keys move. Against the classic ring of 100 points per unit of weight it needs a tenth of the
 * memory.
 *
 * An update makes the points of those only that joined, left or changed their weight, and merges them into the others,
 * so that neither one change among 10,000 nor a ring that grows while connections begin holds up the event loop. What
 * came before leaves no trace: the ring is that of its present owners, in whatever order they came.
 */
export class HashRing {
  private points = RingPoints.NONE;
  private readonly places = new Map<string, Place>();
  /** By index; undefined where an owner has left and no other has taken its index yet. */
  private readonly ids: (string | undefined)[] = [];
  private free: number[] = [];
  private scale = 1;
  private updates = 0;

  /** The indexes of a new ring are those of this list. */
  constructor(owners: readonly RingOwner[]) {
    this.update(owners);
  }

  /** All indexes are below this. */
  get size(): number {
    return this.ids.length;
  }

  /** Stays the same while the owner is on the ring; undefined for one that is not. */
  indexOf(id: string): number | undefined {
    return this.places.get(id)?.index;
  }

  /** Makes it the ring of these owners; of several with one id the first counts. */
  update(owners: readonly RingOwner[]): void {
    const update = ++this.updates;
    const changed: Place[] = [];
    let present = 0;
    for (const { id, weight } of owners) {
      const known = this.places.get(id);
      if (known?.update === update) continue;
      const place = known ?? this.enter(id);
      if (place.weight !== weight) changed.push(place);
      place.weight = weight;
      place.update = update;
      present++;
    }
    const left = this.places.size > present ? this.removeAllBut(update) : [];
    const scale = scaleOf(owners);
    if (scale !== this.scale) {
      this.scale = scale;
      this.points = this.pointsOf([...this.places.values()]);
    } else if (changed.length > 0 || left.length > 0) {
      const outdated = new Uint8Array(this.size);
      for (const { index } of changed) outdated[index] = 1;
      for (const index of left) outdated[index] = 1;
      this.points = this.points.merge(outdated, this.pointsOf(changed), this.ids);
    }
    this.free = this.free.concat(left);
  }

  /**
   * Index of the owner of a key among those that `usable` names (1 = usable). Keys of usable owners stay where they
   * are whatever happens to others. -1 when nobody is usable.
   */
  lookup(key: string, usable: Uint8Array): number {
    const { points } = this;
    const { hashes, owners } = points;
    const size = hashes.length;
    if (size === 0) return -1;
    const base = hashText(key) ^ GOLDEN;
    let best = -1;
    let bestDistance = Infinity;
    let start = 0;
    for (let i = 0; i < PROBES; i++) {
      const probe = mix(base + Math.imul(i, GOLDEN));
      const at = points.successor(probe);
      const distance = (hashes[at]! - probe + RING_SIZE) % RING_SIZE;
      if (i === 0) start = at;
      if (distance < bestDistance && usable[owners[at]!] === 1) {
        best = owners[at]!;
        bestDistance = distance;
      }
    }
    for (let i = 0; best < 0 && i < size; i++) {
      const owner = owners[(start + i) % size]!;
      if (usable[owner] === 1) best = owner;
    }
    return best;
  }

  private enter(id: string): Place {
    const place: Place = { index: this.free.pop() ?? this.ids.length, weight: 0, update: 0 };
    this.ids[place.index] = id;
    this.places.set(id, place);
    return place;
  }

  /** The indexes of those that left. */
  private removeAllBut(update: number): number[] {
    const left: number[] = [];
    for (const [id, place] of this.places) {
      if (place.update === update) continue;
      this.places.delete(id);
      left.push(place.index);
    }
    return left;
  }

  private pointsOf(places: readonly Place[]): RingPoints {
    const { scale, ids } = this;
    const counts = places.map(({ index, weight }) => ({ index, points: Math.max(1, Math.round(weight / scale)) }));
    return RingPoints.of(counts, ids);
  }
}

/** Powers of two: a set that grows by one rarely crosses one, and only then do keys move for everyone. */
const scaleOf = (owners: readonly RingOwner[]): number => {
  let scale = 1;
  let total = owners.reduce((sum, { weight }) => sum + weight, 0);
  for (; total > MAX_POINTS; total /= 2) scale *= 2;
  return scale;
};
