import { describe, expect, it } from 'vitest';
import { candidates, tally } from '../../test/grpc/support/candidates.js';
import { assertPolicyDefined, createPicker, definePicker } from './picker-registry.js';
import type { PickCandidate } from './picker.interface.js';

describe('pickers of the user', () => {
  it('can be defined and used by name', () => {
    definePicker('always-first', () => {
      let first: PickCandidate;
      return { update: ([candidate]) => (first = candidate!), pick: () => first };
    });
    const picker = createPicker({ policy: 'always-first' });
    picker.update(candidates('a', 'b'), candidates('a', 'b'));
    expect(tally(picker, 10)).toEqual({ a: 10 });
  });

  it('cannot take the name of another', () => {
    const factory = () => ({ update: () => {}, pick: () => candidates('a')[0]! });
    expect(() => definePicker('round_robin', factory)).toThrow('"round_robin" is defined already');
    expect(() => definePicker('', factory)).toThrow('cannot be empty');
  });

  it('an unknown policy is refused with the known ones and the remedy', () => {
    expect(() => assertPolicyDefined('loadBalancing', 'round-robin')).toThrow(
      /loadBalancing: unknown load-balancing policy "round-robin"; known are least_request, round_robin.*definePicker/s,
    );
  });
});
