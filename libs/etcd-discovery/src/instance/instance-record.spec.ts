import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeInstance, encodeInstance, type InstanceRecord } from './instance-record.js';
import type { EndpointProtocol, ServiceInstance } from './service-instance.js';

const record: InstanceRecord = {
  service: 'notification-server',
  id: 'notification-server-7c9f',
  endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 50_051, secure: false }],
  version: '1.2.0',
  zone: 'a',
  weight: 10,
  metadata: {},
  registeredAt: new Date('2026-01-31T12:00:00.000Z'),
};

const decoded = (value: string, { service, id }: { service: string; id: string }): ServiceInstance => {
  const result = decodeInstance({ service, id, value: Buffer.from(value), createRevision: 5, modRevision: 6 });
  if (!result.ok) throw new Error(result.reason);
  return result.instance;
};

describe('the stored value', () => {
  it('is, byte for byte, what stock readers of other stacks take', () => {
    expect(encodeInstance(record, 'up')).toBe(
      '{"Op":0,"Addr":"10.0.0.7:50051","id":"notification-server-7c9f","name":"notification-server","version":"1.2.0",' +
        '"metadata":{"zone":"a","weight":"10"},"endpoints":["grpc://10.0.0.7:50051"],' +
        '"network":"tcp","address":"10.0.0.7:50051","weight":10,"tags":{"zone":"a"},' +
        '"status":"up","registeredAt":"2026-01-31T12:00:00.000Z"}',
    );
  });

  it('says when the instance is leaving', () => {
    expect(encodeInstance(record, 'draining')).toContain('"status":"draining"');
    expect(decoded(encodeInstance(record, 'draining'), record).status).toBe('draining');
  });

  it('has the addresses of all endpoints, the gRPC one as the address', () => {
    const endpoints = [
      { protocol: 'tcp', host: '::1', port: 1, secure: false },
      { protocol: 'grpc', host: '2001:db8::7', port: 2, secure: true },
      { protocol: 'http', host: 'users.example.org', port: 3, secure: false },
    ] as const;
    const value = JSON.parse(encodeInstance({ ...record, endpoints }, 'up')) as Record<string, unknown>;
    expect(value).toMatchObject({
      Addr: '[2001:db8::7]:2',
      address: '[2001:db8::7]:2',
      endpoints: ['tcp://[::1]:1', 'grpcs://[2001:db8::7]:2', 'http://users.example.org:3'],
    });
  });

  it('carries metadata for Kratos and, as tags, for Kitex, all of it strings', () => {
    const value = JSON.parse(encodeInstance({ ...record, metadata: { team: 'x', weight: '99' } }, 'up')) as Record<
      string,
      unknown
    >;
    expect(value.metadata).toEqual({ zone: 'a', weight: '10', team: 'x' });
    expect(value.tags).toEqual({ zone: 'a', team: 'x' });
  });

  it('never has fields that Go would take for one another', () => {
    const fields = Object.keys(JSON.parse(encodeInstance(record, 'up')) as object).map((field) => field.toLowerCase());
    expect(new Set(fields).size).toBe(fields.length);
  });

  it('is refused when readers would refuse it', () => {
    const metadata = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, 'x'.repeat(1000)]));
    expect(() => encodeInstance({ ...record, metadata }, 'up')).toThrow(/bytes, readers accept 16384/);
    expect(() => encodeInstance({ ...record, endpoints: [] }, 'up')).toThrow(/no endpoint/);
  });

  it('read back gives what was registered', () => {
    expect(decoded(encodeInstance({ ...record, metadata: { team: 'x' } }, 'up'), record)).toEqual({
      id: record.id,
      service: record.service,
      address: '10.0.0.7:50051',
      host: '10.0.0.7',
      port: 50_051,
      endpoints: record.endpoints,
      version: '1.2.0',
      zone: 'a',
      weight: 10,
      metadata: { team: 'x' },
      status: 'up',
      suspect: false,
      registeredAt: record.registeredAt,
      format: 'native',
      createRevision: 5,
      modRevision: 6,
    });
  });

  it('read back gives what was registered, for any record', () => {
    const word = fc.string({ unit: fc.constantFrom(...'abcXYZ09 ."\\{}é'.split('')), minLength: 1, maxLength: 20 });
    const any: fc.Arbitrary<InstanceRecord> = fc.record(
      {
        service: fc.constant('users'),
        id: fc.constant('users-1'),
        endpoints: fc.array(
          fc.record({
            protocol: fc.constantFrom<EndpointProtocol>('grpc', 'tcp', 'http'),
            host: fc.constantFrom('10.0.0.7', '2001:db8::7', 'users.example.org', '127.0.0.1'),
            port: fc.integer({ min: 1, max: 65_535 }),
            secure: fc.boolean(),
          }),
          { minLength: 1, maxLength: 4 },
        ),
        version: word,
        zone: word,
        weight: fc.integer({ min: 1, max: 10_000 }),
        metadata: fc.dictionary(
          word.filter((key) => !['zone', 'weight'].includes(key)),
          word,
          { maxKeys: 8 },
        ),
        registeredAt: fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }),
      },
      { requiredKeys: ['service', 'id', 'endpoints', 'weight', 'metadata', 'registeredAt'] },
    );
    fc.assert(
      fc.property(any, fc.constantFrom('up' as const, 'draining' as const), (given, status) => {
        const instance = decoded(encodeInstance(given, status), given);
        expect(instance).toMatchObject({ ...given, metadata: { ...given.metadata }, status, format: 'native' });
        expect(Object.keys(instance.metadata).toSorted()).toEqual(Object.keys(given.metadata).toSorted());
        expect(instance.version).toBe(given.version);
        expect(instance.zone).toBe(given.zone);
      }),
      { numRuns: 1000 },
    );
  });
});
