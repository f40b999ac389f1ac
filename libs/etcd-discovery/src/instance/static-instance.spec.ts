import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { staticInstances } from './static-instance.js';

describe('static instances', () => {
  it('have the address as id, the default weight and no revision', () => {
    expect(staticInstances('users', ['10.0.0.7:50051', '[::1]:50051'])).toEqual([
      expect.objectContaining({
        id: '10.0.0.7:50051',
        service: 'users',
        address: '10.0.0.7:50051',
        host: '10.0.0.7',
        port: 50_051,
        weight: 10,
        status: 'up',
        suspect: false,
        format: 'static',
        createRevision: 0,
        modRevision: 0,
      }),
      expect.objectContaining({ id: '[::1]:50051', host: '::1', address: '[::1]:50051' }),
    ]);
  });

  it('are listed once, frozen', () => {
    const instances = staticInstances('users', ['a:1', 'b:1', 'a:1']);
    expect(instances.map(({ id }) => id)).toEqual(['a:1', 'b:1']);
    expect(Object.isFrozen(instances[0])).toBe(true);
    expect(Object.isFrozen(instances[0]?.endpoints)).toBe(true);
  });

  it.each(['a', 'a:0', 'http://a:1', '0.0.0.0:80', ''])('refuse %j, naming the service', (address) => {
    expect(() => staticInstances('users', [address])).toThrow(InvalidOptionsError);
    expect(() => staticInstances('users', [address])).toThrow(/of users: address/);
  });
});
