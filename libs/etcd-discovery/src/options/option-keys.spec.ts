import { describe, expect, it } from 'vitest';
import { camelCase, kebabCase, nearestOf, readKeys } from './option-keys.js';

const KNOWN = ['endpoints', 'dialTimeout', 'username', 'password', 'tls'];

describe('option keys', () => {
  it('are the same in kebab-case and camelCase', () => {
    for (const key of ['dial-timeout', 'dialTimeout']) {
      expect(readKeys({ [key]: 1 }, KNOWN)).toMatchObject({ values: { dialTimeout: 1 }, problems: [] });
    }
    expect(camelCase('allowed-cidrs')).toBe('allowedCidrs');
    expect(kebabCase('allowedCidrs')).toBe('allowed-cidrs');
  });

  it.each(['Dial-Timeout', 'dial_timeout', 'dial--timeout', '-dial', 'dial-', 'DIALTIMEOUT', 'dialtimeout'])(
    'are unknown in any other spelling: %s',
    (key) => {
      expect(readKeys({ [key]: 1 }, KNOWN)?.problems).toHaveLength(1);
    },
  );

  it('given in both spellings are a mistake', () => {
    expect(readKeys({ 'dial-timeout': 1, dialTimeout: 1 }, KNOWN)?.problems).toEqual([
      { key: 'dialTimeout', problem: 'is the same option as "dial-timeout": give one of them' },
    ]);
  });

  it('without a value, as an empty line of YAML, are not given', () => {
    expect(Object.keys(readKeys({ tls: null, username: undefined }, KNOWN)?.values ?? { x: 1 })).toEqual([]);
  });

  it('that are unknown suggest the nearest one, in the spelling that was used', () => {
    expect(nearestOf('endpoint', KNOWN)).toBe('endpoints');
    expect(readKeys({ 'dail-timeout': 1 }, KNOWN)?.problems[0]?.problem).toBe(
      'unknown option; did you mean "dial-timeout"?',
    );
    expect(readKeys({ usrname: 1 }, KNOWN)?.problems[0]?.problem).toBe('unknown option; did you mean "username"?');
  });

  it('that resemble nothing list what there is', () => {
    expect(readKeys({ colour: 1 }, KNOWN)?.problems[0]?.problem).toBe(
      'unknown option; known here: endpoints, dialTimeout, username, password, tls',
    );
    expect(nearestOf('x'.repeat(100_000), KNOWN)).toBeUndefined();
  });

  it.each([null, undefined, 'text', 1, [], Buffer.from('x')])('of %j are none: it is no map', (given) => {
    expect(readKeys(given, KNOWN)).toBeUndefined();
  });

  it('of an object prototype are no options', () => {
    const keys = readKeys(JSON.parse('{"__proto__":{"tls":1},"constructor":1}'), KNOWN);
    expect(keys?.problems.map(({ key }) => key)).toEqual(['__proto__', 'constructor']);
    expect(keys?.values).not.toHaveProperty('tls');
  });
});
