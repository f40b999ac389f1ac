import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameData } from './same-data.js';

describe('plain data', () => {
  it('is compared as isDeepStrictEqual compares it', () => {
    const leaf = fc.oneof(
      fc.constantFrom(0, 1, '', 'a', null, undefined, true),
      fc.date({ min: new Date(0), max: new Date(3), noInvalidDate: true }),
    );
    const { data } = fc.letrec((tie) => ({
      data: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie('data'), { maxLength: 2 }),
        fc.object({ maxKeys: 2, key: fc.constantFrom('a', 'b'), values: [leaf], maxDepth: 1 }),
      ),
    }));
    fc.assert(
      fc.property(data, data, (a, b) => {
        expect(sameData(a, b)).toBe(isDeepStrictEqual(a, b));
        expect(sameData(a, structuredClone(a))).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  it('tells an absent field from another one that is undefined', () => {
    expect(sameData({ zone: undefined }, { version: undefined })).toBe(false);
    expect(sameData([], {})).toBe(false);
  });
});
