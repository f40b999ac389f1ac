import { afterEach, describe, expect, it, vi } from 'vitest';
import { candidates, noHeaders, seeded } from '../../test/grpc/support/candidates.js';
import { HashRing } from './hash-ring.js';
import { createPicker } from './picker-registry.js';
import type { PickRequest } from './picker.interface.js';
import { RingPoints } from './ring-points.js';

const withKey = (key: string): PickRequest => ({ header: (name) => (name === 'x-user' ? key : undefined) });
const KEYS = Array.from({ length: 5000 }, (_, i) => `user-${i}`);

const hashing = (...ids: string[]) => {
  const set = candidates(...ids);
  const picker = createPicker({ policy: 'consistent_hash', header: 'X-User' }, seeded(1));
  picker.update(set, set);
  return { set, picker, place: () => KEYS.map((key) => picker.pick(withKey(key)).id) };
};

const ids = (n: number) => Array.from({ length: n }, (_, i) => `instance-${i}`);

describe('consistent_hash', () => {
  it('sends a key to the same instance, whatever order clients learn of the instances in', () => {
    const one = hashing('a', 'b', 'c').place();
    expect(hashing('c', 'a', 'b').place()).toEqual(one);
    expect(new Set(one)).toEqual(new Set(['a', 'b', 'c']));
  });

  it('spreads keys evenly', () => {
    const { place } = hashing(...ids(10));
    const counts = new Map<string, number>();
    for (const id of place()) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const count of counts.values()) expect(count / 500).toBeLessThan(1.3);
    expect(counts.size).toBe(10);
  });

  it.each([3, 10, 50])('moves at most 1.5/n of the keys when one of %i leaves, and only its own', (n) => {
    const { place } = hashing(...ids(n));
    const before = place();
    const after = hashing(...ids(n).slice(1)).place();
    const moved = before.filter((id, i) => id !== after[i]);
    expect(moved.length / KEYS.length).toBeLessThanOrEqual(1.5 / n);
    expect(new Set(moved)).toEqual(new Set(['instance-0']));
  });

  it('moves only the keys of an instance that is not ready, and gives them back', () => {
    const { set, picker, place } = hashing('a', 'b', 'c');
    const before = place();
    picker.update(set.slice(1), set);
    const during = place();
    expect(during).not.toContain('a');
    expect(before.every((id, i) => id === 'a' || id === during[i])).toBe(true);
    picker.update(set, set);
    expect(place()).toEqual(before);
  });

  it('takes any instance for a call without a key', () => {
    const { picker } = hashing('a', 'b', 'c');
    expect(new Set(Array.from({ length: 100 }, () => picker.pick(noHeaders).id)).size).toBe(3);
  });

  it('takes the key from a function of the metadata', () => {
    const set = candidates('a', 'b', 'c');
    const key = (metadata: unknown) => (metadata as { tenant: string }).tenant;
    const picker = createPicker({ policy: 'consistent_hash', key }, seeded(1));
    picker.update(set, set);
    const pick = () => picker.pick({ header: () => undefined, metadata: { tenant: 'acme' } }).id;
    expect(new Set(Array.from({ length: 50 }, pick)).size).toBe(1);
  });
});

describe('hash ring', () => {
  afterEach(() => vi.restoreAllMocks());

  it('gives heavier owners more keys', () => {
    const owners = [10, 20, 40].map((weight, i) => ({ id: `w${i}`, weight }));
    const ring = new HashRing(owners);
    const usable = new Uint8Array(3).fill(1);
    const counts = [0, 0, 0];
    for (let i = 0; i < 70_000; i++) counts[ring.lookup(`k${i}`, usable)]!++;
    counts.forEach((count, i) => expect(Math.abs(count / ((owners[i]!.weight / 70) * 70_000) - 1)).toBeLessThan(0.2));
  });

  it('finds the one usable owner among many, and nobody when there is none', () => {
    const ring = new HashRing(ids(500).map((id) => ({ id, weight: 10 })));
    const usable = new Uint8Array(500);
    expect(ring.lookup('key', usable)).toBe(-1);
    usable[321] = 1;
    expect(ring.lookup('key', usable)).toBe(321);
  });

  it('is the ring of its present owners, whatever they were before', () => {
    const random = seeded(7);
    const ring = new HashRing([]);
    const places = (of: HashRing, known: readonly string[]) => {
      const usable = new Uint8Array(of.size);
      for (const id of known) usable[of.indexOf(id)!] = 1;
      const byIndex = new Map(known.map((id) => [of.indexOf(id), id]));
      return KEYS.slice(0, 200).map((key) => byIndex.get(of.lookup(key, usable)));
    };
    // Weights up to 4,000 let the whole cross the limit of points both ways, where all are scaled.
    const scales = new Set<boolean>();
    for (let step = 0; step < 60; step++) {
      const heavy = random() < 0.5 ? 4_000 : 40;
      const members = ids(80)
        .filter(() => random() < 0.7)
        .map((id) => ({ id, weight: random() < 0.3 ? 1 + Math.floor(random() * heavy) : heavy }))
        .toSorted(() => random() - 0.5);
      ring.update(members);
      scales.add(members.reduce((sum, { weight }) => sum + weight, 0) > 2 ** 17);
      const known = members.map(({ id }) => id);
      expect(places(ring, known)).toEqual(places(new HashRing(members), known));
    }
    expect(scales.size).toBe(2);
  });

  it('makes the points of those that joined and of no others', () => {
    const made = vi.spyOn(RingPoints, 'of');
    const owners = ids(1_000).map((id) => ({ id, weight: 10 }));
    const ring = new HashRing([]);
    for (let n = 50; n <= 1_000; n += 50) ring.update(owners.slice(0, n));
    ring.update(owners.toReversed());
    ring.update(owners.slice(1));
    ring.update(owners);
    ring.update(owners.with(5, { id: 'instance-5', weight: 11 }));
    expect(made.mock.calls.reduce((sum, [counts]) => sum + counts.length, 0)).toBe(1_002);
  });

  it('has a limit of points, whatever the weights', () => {
    const made = vi.spyOn(RingPoints, 'of');
    const ring = new HashRing(ids(40).map((id) => ({ id, weight: 10_000 })));
    ring.update(ids(100).map((id) => ({ id, weight: 10_000 })));
    for (const [counts] of made.mock.calls) {
      const points = counts.reduce((sum, count) => sum + count.points, 0);
      expect(points).toBeGreaterThan(2 ** 16);
      expect(points).toBeLessThanOrEqual(2 ** 17);
    }
    expect(made.mock.lastCall?.[0]).toHaveLength(100);
  });

  it('gives the place of one that left to one that comes later', () => {
    const ring = new HashRing(ids(3).map((id) => ({ id, weight: 10 })));
    ring.update([{ id: 'instance-1', weight: 10 }]);
    ring.update(['instance-1', 'x', 'y'].map((id) => ({ id, weight: 10 })));
    expect(ring.size).toBe(3);
    expect(new Set(['instance-1', 'x', 'y'].map((id) => ring.indexOf(id)))).toEqual(new Set([0, 1, 2]));
    expect(ring.indexOf('instance-1')).toBe(1);
  });
});
