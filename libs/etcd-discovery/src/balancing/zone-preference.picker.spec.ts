import { describe, expect, it } from 'vitest';
import { candidate, seeded, tally } from '../../test/grpc/support/candidates.js';
import { createPicker } from './picker-registry.js';

const set = [
  candidate('a1', { zone: 'a' }),
  candidate('a2', { zone: 'a' }),
  candidate('b1', { zone: 'b' }),
  candidate('b2', { zone: 'b' }),
];
const without = (...ids: string[]) => set.filter(({ id }) => !ids.includes(id));

describe.each(['round_robin', 'least_request', 'random', 'weighted_round_robin', 'consistent_hash'])(
  'zone preference with %s',
  (policy) => {
    const local = () => createPicker({ policy, zone: 'a' }, seeded(1));

    it('stays in the zone while half of it is ready', () => {
      const p = local();
      p.update(set, set);
      expect(Object.keys(tally(p, 200)).toSorted()).toEqual(['a1', 'a2']);
      p.update(without('a1'), set);
      expect(tally(p, 200)).toEqual({ a2: 200 });
    });

    it('uses all zones when nothing local is ready, and comes back', () => {
      const p = local();
      p.update(without('a1', 'a2'), set);
      expect(Object.keys(tally(p, 200)).toSorted()).toEqual(['b1', 'b2']);
      p.update(set, set);
      expect(Object.keys(tally(p, 200)).toSorted()).toEqual(['a1', 'a2']);
    });

    it('uses all zones where the zone has too few ready', () => {
      const p = createPicker({ policy, zone: 'a', zoneMinReadyShare: 0.9 }, seeded(1));
      p.update(without('a1'), set);
      expect(Object.keys(tally(p, 300)).toSorted()).toEqual(['a2', 'b1', 'b2']);
    });
  },
);
