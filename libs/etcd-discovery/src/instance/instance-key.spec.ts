import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instanceKey, parseInstanceKey, parsePlainKey, plainKey, servicePrefix } from './instance-key.js';
import { isValidName } from './names.js';

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,12}[a-z0-9])?$/).filter(isValidName);
// Few letters, so that prefixes of each other are common.
const closeName = fc.stringMatching(/^[ab]([ab.-]{0,2}[ab])?$/).filter(isValidName);
const namespace = fc
  .array(fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/), { minLength: 1, maxLength: 3 })
  .map((segments) => `/${segments.join('/')}`);

describe('keys', () => {
  it('have the stored layout', () => {
    expect(servicePrefix('/services', 'users')).toBe('/services/users/');
    expect(instanceKey('/services', 'users', 'users-7c9f')).toBe('/services/users/users-7c9f');
    expect(plainKey('/services', 'users')).toBe('/services/users');
  });

  it('give back what they were built from', () => {
    fc.assert(
      fc.property(namespace, name, name, (ns, service, id) => {
        expect(parseInstanceKey(ns, instanceKey(ns, service, id))).toEqual({ service, id });
        expect(parsePlainKey(ns, plainKey(ns, service))).toBe(service);
      }),
      { numRuns: 1000 },
    );
  });

  it('differ for distinct (namespace, service, id), nested namespaces included', () => {
    const place = fc.record({
      ns: fc.constantFrom('/a', '/b', '/a/a', '/a/b', '/a/b/a'),
      service: closeName,
      id: closeName,
    });
    fc.assert(
      fc.property(place, place, (x, y) => {
        const same = x.ns === y.ns && x.service === y.service && x.id === y.id;
        expect(instanceKey(x.ns, x.service, x.id) === instanceKey(y.ns, y.service, y.id)).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });

  it('of one service never lie under the prefix of another of the namespace', () => {
    fc.assert(
      fc.property(closeName, closeName, closeName, (service, other, id) => {
        const key = instanceKey('/services', other, id);
        expect(key.startsWith(servicePrefix('/services', service))).toBe(service === other);
        expect(plainKey('/services', other).startsWith(servicePrefix('/services', service))).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('of a nested namespace are nobody in the outer one', () => {
    expect(parseInstanceKey('/a', instanceKey('/a/b', 'c', 'd'))).toBeUndefined();
    expect(parsePlainKey('/a', plainKey('/a/b', 'c'))).toBeUndefined();
  });

  it.each([
    '',
    '/',
    '/services',
    '/services/',
    '/services/users',
    '/services/users/',
    '/services//id',
    '/services/users/a/b',
    '/services-v2/users/a',
    'services/users/a',
    '/services/us\ners/a',
    '/services/users/a\u0000',
    '/services/__proto__/a',
    '/services/users/' + 'x'.repeat(257),
  ])('that are not of an instance are passed over: %j', (key) => {
    expect(parseInstanceKey('/services', key)).toBeUndefined();
  });

  it('of other writers are read as they are', () => {
    expect(parseInstanceKey('/services', '/services/Greeter/10.0.0.7:50051')).toEqual({
      service: 'Greeter',
      id: '10.0.0.7:50051',
    });
  });

  it('never throw on any key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (rest) => {
        const parsed = parseInstanceKey('/services', `/services/${rest}`);
        if (parsed) expect(instanceKey('/services', parsed.service, parsed.id)).toBe(`/services/${rest}`);
      }),
      { numRuns: 1000 },
    );
  });
});
