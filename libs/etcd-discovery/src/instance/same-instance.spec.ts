import { describe, expect, it } from 'vitest';
import { sameInstance } from './same-instance.js';
import type { ServiceInstance } from './service-instance.js';

const make = (): Required<ServiceInstance> => ({
  id: 'a',
  service: 'users',
  address: '10.0.0.7:1',
  host: '10.0.0.7',
  port: 1,
  endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 1, secure: false }],
  version: '1',
  zone: 'z',
  weight: 10,
  metadata: { team: 'x' },
  status: 'up',
  suspect: false,
  registeredAt: new Date(7),
  format: 'native',
  createRevision: 3,
  modRevision: 4,
});

/** Every field has an entry: the type says so. */
const others: { [Field in keyof Required<ServiceInstance>]: ServiceInstance[Field][] } = {
  id: ['b'],
  service: ['orders'],
  address: ['10.0.0.8:1'],
  host: ['10.0.0.8'],
  port: [2],
  endpoints: [
    [],
    [{ protocol: 'tcp', host: '10.0.0.7', port: 1, secure: false }],
    [{ protocol: 'grpc', host: '10.0.0.8', port: 1, secure: false }],
    [{ protocol: 'grpc', host: '10.0.0.7', port: 2, secure: false }],
    [{ protocol: 'grpc', host: '10.0.0.7', port: 1, secure: true }],
  ],
  version: ['2', undefined],
  zone: ['y', undefined],
  weight: [11],
  metadata: [{}, { team: 'y' }, { group: 'x' }, { team: 'x', more: '1' }],
  status: ['draining'],
  suspect: [true],
  registeredAt: [new Date(8), undefined],
  format: ['kratos'],
  createRevision: [2],
  modRevision: [5],
};

describe('two instances', () => {
  it('are the same when every field is', () => {
    expect(sameInstance(make(), make())).toBe(true);
    expect(sameInstance(undefined, undefined)).toBe(true);
  });

  it.each(Object.entries(others).flatMap(([field, values]) => values.map((value) => [field, value] as const)))(
    'differ by %s %j',
    (field, value) => {
      expect(sameInstance(make(), { ...make(), [field]: value })).toBe(false);
      expect(sameInstance({ ...make(), [field]: value }, make())).toBe(false);
    },
  );

  it('differ from none', () => {
    expect(sameInstance(make(), undefined)).toBe(false);
    expect(sameInstance(undefined, make())).toBe(false);
  });
});
