import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAnyInstance, decodeInstance } from './decode-instance.js';
import { encodeInstance } from './instance-record.js';
import { readOwnValue } from './own-value.js';
import type { StoredValue } from './stored-value.js';

const stored = (value: string | object | Buffer): StoredValue => ({
  service: 'users',
  id: 'users-1',
  value: Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  createRevision: 3,
  modRevision: 4,
});

const own = {
  Op: 0,
  Addr: '10.0.0.7:50051',
  id: 'users-1',
  name: 'users',
  version: '1.2.0',
  metadata: { zone: 'a', weight: '10', team: 'x' },
  endpoints: ['grpc://10.0.0.7:50051'],
  network: 'tcp',
  address: '10.0.0.7:50051',
  weight: 10,
  tags: { zone: 'a', team: 'x' },
  status: 'up',
  registeredAt: '2026-01-31T12:00:00.000Z',
};

describe('the short way', () => {
  it.each<[string, object]>([
    ['whole', own],
    ['draining', { ...own, status: 'draining' }],
    ['without what may be missing', { ...own, version: undefined, metadata: {}, tags: undefined }],
    ['several endpoints', { ...own, endpoints: ['tcp://10.0.0.7:1', 'grpcs://10.0.0.7:2', 'http://users.internal:3'] }],
    ['loopback', { ...own, endpoints: ['grpc://127.0.0.1:50051'] }],
  ])('is taken by a value of ours that is %s', (_what, value) => {
    const instance = readOwnValue(stored(value));
    expect(instance).toBeDefined();
    expect(decodeAnyInstance(stored(value))).toEqual({ ok: true, instance });
  });

  it.each<[string, string | object | Buffer]>([
    ['another format', { Op: 0, Addr: 'a:1' }],
    ['a plain address', '10.0.0.7:1'],
    ['the name of another service', { ...own, name: 'orders' }],
    ['a list around it', [own]],
    ['an escape in it', JSON.stringify(own).replace('"x"', '"\\u0078"')],
    ['DEL in it', { ...own, version: '1\u007f' }],
    ['other letters in it', { ...own, version: 'größer' }],
    ['bytes that are no text', Buffer.from([0x7b, 0xff])],
    ['an address that cannot be called', { ...own, endpoints: ['grpc://169.254.169.254:80'] }],
    ['an address with leading zeros', { ...own, endpoints: ['grpc://10.0.0.07:80'] }],
    ['port 0', { ...own, endpoints: ['grpc://10.0.0.7:0'] }],
    ['a port too high', { ...own, endpoints: ['grpc://10.0.0.7:65536'] }],
    ['a metadata value that is no string', { ...own, metadata: { a: 1 } }],
    [
      'metadata that reaches a prototype',
      `{"metadata":{"__proto__":"x"},${JSON.stringify({ ...own, metadata: undefined }).slice(1)}`,
    ],
    ['an IPv6 endpoint, whose brackets could be nesting', { ...own, endpoints: ['grpc://[2001:db8::7]:50051'] }],
    ['nesting', { ...own, extra: {} }],
    ['nesting hidden by a second field of the name', `{"tags":{"a":{"b":{}}},${JSON.stringify(own).slice(1)}`],
    ['a weight out of bounds', { ...own, weight: 10_001 }],
    ['a date that cannot be read', { ...own, registeredAt: 'yesterday' }],
    ['an empty label', { ...own, version: '' }],
    ['more than 16 KB', { ...own, extra: 'x'.repeat(17_000) }],
  ])('is not taken by a value with %s', (_what, value) => {
    expect(readOwnValue(stored(value))).toBeUndefined();
  });

  it('takes no field from a polluted prototype', () => {
    const prototype = Object.prototype as Record<string, unknown>;
    prototype['version'] = 'polluted';
    try {
      expect(readOwnValue(stored({ ...own, version: undefined }))).toBeUndefined();
    } finally {
      delete prototype['version'];
    }
  });

  it('shares metadata that is the same, and no other', () => {
    const metadataOf = (metadata: object) => readOwnValue(stored({ ...own, metadata }))?.metadata;
    const first = metadataOf({ team: 'x', zone: 'a' });
    expect(metadataOf({ team: 'x', zone: 'b' })).toBe(first);
    expect(metadataOf({ team: 'y' })).toEqual({ team: 'y' });
    expect(metadataOf({ team: 'y', more: '1' })).toEqual({ team: 'y', more: '1' });
    expect(metadataOf({ team: 'y' })).toEqual({ team: 'y' });
    expect(metadataOf({})).toEqual({});
    expect(Object.getPrototypeOf(metadataOf({}))).toBeNull();
  });
});

describe('both ways', () => {
  const text = fc.oneof(
    fc.constantFrom(
      '',
      'a',
      'up',
      'draining',
      'users',
      '10.0.0.7:1',
      'x\ny',
      'ü',
      '2026-01-31T12:00:00Z',
      '{',
      '[',
      '\\',
      '\u007f',
    ),
    fc.string({ maxLength: 140 }),
  );
  const octet = fc.oneof(
    fc.integer({ min: 0, max: 300 }).map(String),
    fc.constantFrom('01', '', '169', '127', '224', 'a'),
  );
  const address = fc
    .tuple(
      octet,
      octet,
      octet,
      octet,
      fc.oneof(fc.integer({ min: 0, max: 70_000 }).map(String), fc.constantFrom('', '080', 'x')),
    )
    .map(([a, b, c, d, port]) => `${a}.${b}.${c}.${d}:${port}`);
  const url = fc
    .tuple(
      fc.constantFrom('grpc', 'grpcs', 'tcp', 'http', 'https', 'ws', 'GRPC', '', 'constructor'),
      fc.constantFrom('://', ':', '://', '://'),
      fc.oneof(
        address,
        fc.constantFrom('[2001:db8::7]:1', 'a.b:1', 'localhost:2', '10.0.0.7:1?isSecure=true', '10.0.0.7:1/x'),
        text,
      ),
    )
    .map((parts) => parts.join(''));
  const scalar = fc.oneof(text, fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
  const key = fc.oneof(
    fc.constantFrom('zone', 'weight', 'team', '__proto__', 'constructor', ''),
    fc.string({ maxLength: 70 }),
  );
  const map = fc
    .array(fc.tuple(key, fc.oneof({ weight: 5, arbitrary: text }, scalar)), { maxLength: 5 })
    .map((entries) => `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`);
  const anything = fc.json({ maxDepth: 3 });
  const json = (arbitrary: fc.Arbitrary<unknown>) => arbitrary.map((value) => JSON.stringify(value));
  /** Texts and not objects, so that a field can be there twice. */
  const field = fc.oneof(
    fc.tuple(fc.constant('metadata'), map),
    fc.tuple(fc.constant('tags'), map),
    fc.tuple(fc.constant('endpoints'), json(fc.array(url, { maxLength: 3 }))),
    fc.tuple(fc.constant('weight'), json(fc.oneof(fc.integer({ min: -1, max: 10_002 }), scalar))),
    fc.tuple(fc.constantFrom('name', 'status', 'registeredAt', 'version', 'Addr', 'extra', '__proto__'), json(scalar)),
    fc.tuple(fc.constantFrom(...Object.keys(own), 'extra'), anything),
  );
  const good = Object.entries(own).map(([name, value]) => [name, JSON.stringify(value)] as [string, string]);
  const altered = fc
    .tuple(fc.array(field, { maxLength: 3 }), fc.subarray(good, { minLength: good.length - 2 }), fc.boolean())
    .map(([changes, rest, first]) => {
      const fields = first ? [...changes, ...rest] : [...rest, ...changes];
      return Buffer.from(`{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`);
    });
  const written = Buffer.from(JSON.stringify(own));
  const damaged = fc
    .array(fc.tuple(fc.nat(written.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 })
    .map((changes) => {
      const copy = Buffer.from(written);
      for (const [index, byte] of changes) copy[index] = byte;
      return copy;
    });

  it('say the same of any value', () => {
    const seen = { short: 0, long: 0, unreadable: 0 };
    fc.assert(
      fc.property(fc.oneof(altered, altered, damaged), (value) => {
        const long = decodeAnyInstance(stored(value));
        expect(decodeInstance(stored(value))).toStrictEqual(long);
        const short = readOwnValue(stored(value));
        seen[short ? 'short' : long.ok ? 'long' : 'unreadable']++;
        if (!short) return;
        expect(Object.getPrototypeOf(short.metadata)).toBeNull();
        const parts = [short, short.metadata, short.endpoints, ...short.endpoints];
        expect(parts.every((part) => Object.isFrozen(part))).toBe(true);
      }),
      { numRuns: 5_000 },
    );
    // Each must have been seen often, or the property says nothing.
    for (const times of Object.values(seen)) expect(times).toBeGreaterThan(200);
  });

  it('say the same of whatever the library writes', () => {
    const record = fc.record({
      id: fc.constant('users-1'),
      service: fc.constant('users'),
      endpoints: fc.constant([{ protocol: 'grpc', host: '10.0.0.7', port: 1, secure: false } as const]),
      version: fc.option(fc.stringMatching(/^[ -~]{1,20}$/), { nil: undefined }),
      zone: fc.option(fc.stringMatching(/^[ -~]{1,20}$/), { nil: undefined }),
      weight: fc.integer({ min: 1, max: 10_000 }),
      metadata: fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.stringMatching(/^[ -~]{0,20}$/)),
      registeredAt: fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }),
    });
    fc.assert(
      fc.property(record, fc.constantFrom('up' as const, 'draining' as const), (given, status) => {
        const value = stored(encodeInstance(given, status));
        expect(decodeInstance(value)).toStrictEqual(decodeAnyInstance(value));
      }),
    );
  });
});
