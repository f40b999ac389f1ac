import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { parseDuration } from './duration.js';

describe('durations', () => {
  it.each([
    [0, 0],
    [250, 250],
    [0.5, 0.5],
    ['0s', 0],
    ['500ms', 500],
    ['5s', 5000],
    ['1.5s', 1500],
    ['0.1s', 100],
    ['1m30s', 90_000],
    ['1h', 3_600_000],
    ['1h2m3s4ms', 3_723_004],
    ['90m', 5_400_000],
  ])('%j is %d ms', (given, ms) => expect(parseDuration(given)).toBe(ms));

  it.each([
    '',
    ' ',
    '5',
    '5 s',
    ' 5s',
    '5s ',
    '5s\n',
    '5S',
    '5sec',
    '5 seconds',
    's',
    '.5s',
    '1.s',
    '-5s',
    '+5s',
    '1s1s',
    '30s1m',
    '1d',
    '5µs',
    '1e3s',
    '0x10s',
    '1,5s',
    '٥s',
    '30d',
    '600h',
    '9'.repeat(50) + 's',
    Number.NaN,
    Infinity,
    -1,
    2 ** 31,
  ])('%j is none', (given) => {
    expect(() => parseDuration(given)).toThrow(InvalidOptionsError);
    expect(() => parseDuration(given)).toThrow(/expected '500ms', '5s' or '1m30s', or a number of milliseconds/);
  });

  it('of any text are read in linear time or refused', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '9', '.', 'h', 'm', 's', '-', ' '), maxLength: 2000 }),
        (text) => {
          try {
            expect(parseDuration(text)).toBeGreaterThanOrEqual(0);
          } catch (error) {
            expect(error).toBeInstanceOf(InvalidOptionsError);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('written with units give back their milliseconds', () => {
    fc.assert(
      fc.property(fc.nat(23), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
        expect(parseDuration(`${h}h${m}m${s}s${ms}ms`)).toBe(((h * 60 + m) * 60 + s) * 1000 + ms);
      }),
    );
  });
});
