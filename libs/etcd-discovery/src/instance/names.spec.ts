import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { assertValidName, isReadableName, isValidName } from './names.js';

const INVALID = [
  '',
  '../x',
  'a/b',
  '/',
  '.',
  '..',
  'a..b',
  '.a',
  'a.',
  '-a',
  'a-',
  '_a',
  'A',
  'Users',
  'a b',
  ' a',
  'a\n',
  'a\0',
  'ünïcode',
  'а', // Cyrillic
  'a%2fb',
  'a'.repeat(129),
  'a'.repeat(200),
  '__proto__',
];

describe('names that are written', () => {
  it.each(['a', '0', 'users', 'users-v2', 'notification-server', 'a.b_c-d', 'users.rpc', 'a--b', 'a'.repeat(128)])(
    'takes %j',
    (name) => {
      expect(isValidName(name)).toBe(true);
      expect(() => assertValidName('service name', name)).not.toThrow();
    },
  );

  it.each(INVALID)('refuses %j', (name) => {
    expect(isValidName(name)).toBe(false);
  });

  it.each([undefined, null, 1, {}, ['a']])('refuses %j, which is no string', (name) => {
    expect(isValidName(name)).toBe(false);
  });

  it('says what was given, as what, and what is expected', () => {
    expect(() => assertValidName('instance id', 'a/b')).toThrow(
      /^"a\/b" is not a valid instance id: expected 1 to 128 characters of a-z/,
    );
    expect(() => assertValidName('service name', undefined)).toThrow(/type undefined/);
  });

  it('fails with INVALID_NAME and keeps control characters and length out of the message', () => {
    const error = (() => {
      try {
        return assertValidName('service name', `x\n${'y'.repeat(10_000)}`);
      } catch (thrown) {
        return thrown;
      }
    })() as EtcdDiscoveryError;
    expect(error).toBeInstanceOf(EtcdDiscoveryError);
    expect(error.code).toBe('INVALID_NAME');
    expect(error.message).toContain('\\u000a');
    expect(error.message).not.toContain('\n');
    expect(error.message.length).toBeLessThan(300);
  });

  it('agrees with the grammar of the contract on any text', () => {
    const grammar = /^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$/;
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom('a', 'z', '0', '.', '-', '_', '/', 'A', '\n') }),
    );
    fc.assert(
      fc.property(text, (name) => {
        expect(isValidName(name)).toBe(grammar.test(name) && !name.endsWith('\n') && !name.includes('..'));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('names of others that are read', () => {
  it.each(['Users', 'helloworld.Greeter', '10.0.0.7:50051', '[::1]:50051', '7587848943239472601', 'ünïcode', '..'])(
    'takes %j',
    (name) => expect(isReadableName(name)).toBe(true),
  );

  it.each([
    '',
    'a/b',
    'a\nb',
    'a\u0000',
    'a\u202eb',
    'a\u2028b',
    '\ud800',
    '__proto__',
    'a'.repeat(257),
    'é'.repeat(129),
  ])('refuses %j', (name) => expect(isReadableName(name)).toBe(false));

  it('takes every name that may be written', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '9', '.', '-', '_'), maxLength: 140 }), (name) => {
        if (isValidName(name)) expect(isReadableName(name)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
