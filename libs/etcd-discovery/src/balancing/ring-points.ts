/** The finaliser of MurmurHash3: every bit of the input moves about half the bits of the output. */
export const mix = (h: number): number => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

export const GOLDEN = 0x9e3779b9;

/** FNV-1a over UTF-16 units, mixed: the same on every platform and in every process, as consistent hashing needs it. */
export const hashText = (text: string): number => {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
};

/** Who has points, by index. */
export type Ids = readonly (string | undefined)[];

/** How many points an owner gets. */
export interface PointCount {
  /** Into the ids. */
  readonly index: number;
  readonly points: number;
}

const sliceBits = (size: number): number => Math.max(1, Math.ceil(Math.log2(size + 1)));

const isBefore = (point: number, owner: number, other: number, otherOwner: number, ids: Ids): boolean =>
  point < other || (point === other && ids[owner]! < ids[otherOwner]!);

/** Points in the order of the ring, immutable. Two owners at one point go by id. */
export class RingPoints {
  static readonly NONE = new RingPoints(new Uint32Array(0), new Uint32Array(0));

  /** Position of the first point at or after each slice of the ring: a search starts there. */
  private readonly starts: Uint32Array;
  private readonly shift: number;

  private constructor(
    readonly hashes: Uint32Array,
    /** Index of the owner of each point. */
    readonly owners: Uint32Array,
  ) {
    const bits = sliceBits(hashes.length);
    const starts = new Uint32Array(2 ** bits + 1);
    this.shift = 32 - bits;
    for (let i = 0; i < hashes.length; i++) starts[(hashes[i]! >>> this.shift) + 1]!++;
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    this.starts = starts;
  }

  static of(owners: readonly PointCount[], ids: Ids): RingPoints {
    let size = 0;
    for (const { points } of owners) size += points;
    const shift = 32 - sliceBits(size);
    const unsorted = new Uint32Array(size);
    const filled = new Uint32Array(2 ** (32 - shift) + 1);
    let next = 0;
    for (const { index, points } of owners) {
      const base = hashText(ids[index]!);
      for (let i = 1; i <= points; i++) {
        const point = mix(base + Math.imul(i, GOLDEN));
        unsorted[next++] = point;
        filled[(point >>> shift) + 1]!++;
      }
    }
    for (let i = 1; i < filled.length; i++) filled[i]! += filled[i - 1]!;
    const starts = filled.slice();
    const hashes = new Uint32Array(size);
    const ownerOf = new Uint32Array(size);
    next = 0;
    for (const { index, points } of owners) {
      for (let i = 0; i < points; i++) {
        const point = unsorted[next++]!;
        const slice = point >>> shift;
        // Into its slice, whose points so far are sorted; there is about one per slice.
        let at = filled[slice]!++;
        for (; at > starts[slice]! && isBefore(point, index, hashes[at - 1]!, ownerOf[at - 1]!, ids); at--) {
          hashes[at] = hashes[at - 1]!;
          ownerOf[at] = ownerOf[at - 1]!;
        }
        hashes[at] = point;
        ownerOf[at] = index;
      }
    }
    return new RingPoints(hashes, ownerOf);
  }

  /** These points but those whose owner is marked in `outdated`, and the others. */
  merge(outdated: Uint8Array, others: RingPoints, ids: Ids): RingPoints {
    const { hashes: mine, owners: mineOf } = this;
    const { hashes: theirs, owners: theirsOf } = others;
    const hashes = new Uint32Array(mine.length + theirs.length);
    const owners = new Uint32Array(hashes.length);
    let size = 0;
    let next = 0;
    for (let i = 0; i < mine.length; i++) {
      const owner = mineOf[i]!;
      if (outdated[owner] === 1) continue;
      const point = mine[i]!;
      for (; next < theirs.length && isBefore(theirs[next]!, theirsOf[next]!, point, owner, ids); next++) {
        hashes[size] = theirs[next]!;
        owners[size++] = theirsOf[next]!;
      }
      hashes[size] = point;
      owners[size++] = owner;
    }
    for (; next < theirs.length; next++) {
      hashes[size] = theirs[next]!;
      owners[size++] = theirsOf[next]!;
    }
    return new RingPoints(hashes.subarray(0, size), owners.subarray(0, size));
  }

  /** Position of the first point at or after `hash`, around the end of the ring; there must be points. */
  successor(hash: number): number {
    const { hashes } = this;
    let at = this.starts[hash >>> this.shift]!;
    while (at < hashes.length && hashes[at]! < hash) at++;
    return at === hashes.length ? 0 : at;
  }
}
