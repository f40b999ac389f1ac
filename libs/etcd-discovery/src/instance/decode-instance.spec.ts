import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeInstance } from './decode-instance.js';
import { encodeInstance } from './instance-record.js';
import type { ServiceInstance } from './service-instance.js';

const read = (value: string | Buffer | object, id = 'users-1', service = 'users') =>
  decodeInstance({
    service,
    id,
    value: Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    createRevision: 3,
    modRevision: 4,
  });

const instanceOf = (...args: Parameters<typeof read>): ServiceInstance => {
  const result = read(...args);
  if (!result.ok) throw new Error(result.reason);
  return result.instance;
};

const reasonOf = (...args: Parameters<typeof read>): string => {
  const result = read(...args);
  if (result.ok) throw new Error(`read as ${result.instance.format}`);
  return result.reason;
};

const kratos = {
  id: 'users-1',
  name: 'users',
  version: '1.2.0',
  metadata: { weight: '20', zone: 'b' },
  endpoints: ['http://10.0.0.7:8000', 'grpc://10.0.0.7:50051'],
};

const native = {
  Op: 0,
  Addr: '10.0.0.7:50051',
  id: 'users-1',
  name: 'users',
  metadata: { weight: '10' },
  endpoints: ['grpc://10.0.0.7:50051'],
  network: 'tcp',
  address: '10.0.0.7:50051',
  weight: 10,
  tags: {},
  status: 'up',
  registeredAt: '2026-01-31T12:00:00.000Z',
};

describe('values that cannot be used', () => {
  it.each<[string, string | Buffer | object, string]>([
    ['an empty one', '', 'the value is empty'],
    ['a huge one', `{"a":"${'x'.repeat(17_000)}"}`, 'the value has 17008 bytes, at most 16384 are read'],
    ['bytes that are no text', Buffer.from([0x7b, 0xff, 0xfe]), 'the value is not UTF-8'],
    ['broken JSON', '{"Addr":', 'the value is not JSON'],
    ['a list', '[1]', 'address "[1]" is not host:port'],
    ['another text', 'hello world', 'address "hello world" is not host:port'],
    ['no known format', { hello: 1 }, 'no known format: neither Addr, endpoints, nodes nor address'],
    ['nesting', { ...kratos, metadata: { a: { b: { c: 1 } } } }, 'the value is nested 4 deep'],
    ['deep nesting', '{"a":'.repeat(3000), 'the value is nested 3000 deep'],
    ['another service', { ...native, name: 'orders' }, 'the value is of service "orders"'],
    ['no service', { ...native, name: 7 }, 'the value is of service unknown'],
    ['an unknown status', { ...native, status: 'away' }, 'status "away" is neither "up" nor "draining"'],
    ['no endpoint', { ...native, endpoints: [] }, 'no endpoint of a known protocol'],
    ['foreign protocols only', { ...native, endpoints: ['ws://a:1'] }, 'no endpoint of a known protocol'],
    ['too many endpoints', { ...native, endpoints: Array(17).fill('grpc://a:1') }, '17 endpoints'],
    ['an endpoint of another kind', { ...native, endpoints: [7] }, 'an endpoint is not a string'],
    ['an endpoint with a path', { ...native, endpoints: ['grpc://a:1/x'] }, 'address "a:1/x" is not host:port'],
    ['an endpoint with a user', { ...native, endpoints: ['grpc://u@a:1'] }, 'address "u@a:1" is not host:port'],
    ['a unix socket', { Op: 0, Addr: 'unix:/tmp/s' }, 'address "unix:/tmp/s" is not host:port'],
    ['port 0', { Op: 0, Addr: 'a:0' }, 'address "a:0" is not host:port'],
    ['metadata of another kind', { ...kratos, metadata: [] }, 'metadata is not an object'],
    ['control characters', { ...kratos, metadata: { a: 'x\ny' } }, 'metadata entry "a" has control characters'],
    ['a version with them', { ...kratos, version: 'x\u001b[31m' }, 'version has control characters'],
    ['a long zone', { ...kratos, metadata: { zone: 'z'.repeat(129) } }, 'zone is longer than 128 bytes'],
  ])('%s', (_what, value, reason) => {
    expect(reasonOf(value)).toBe(reason);
  });

  it.each(['0.0.0.0:80', '[::]:80', '169.254.169.254:80', '[fe80::1]:80', '224.0.0.1:80', '255.255.255.255:80'])(
    'address %s, which leads nowhere or where it must not',
    (address) => {
      expect(reasonOf({ Op: 0, Addr: address })).toContain('cannot be called');
      expect(reasonOf(address)).toContain('cannot be called');
      expect(reasonOf({ ...native, endpoints: [`grpc://${address}`] })).toContain('cannot be called');
    },
  );

  it('more metadata than 64 entries, or longer ones', () => {
    const entries = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'v']));
    expect(read({ ...kratos, metadata: entries(64) }).ok).toBe(true);
    expect(reasonOf({ ...kratos, metadata: entries(65) })).toBe('metadata has 65 entries');
    expect(read({ ...kratos, metadata: { ['k'.repeat(64)]: 'v'.repeat(1024) } }).ok).toBe(true);
    expect(reasonOf({ ...kratos, metadata: { ['k'.repeat(65)]: 'v' } })).toMatch(/longer than 64 bytes/);
    expect(reasonOf({ ...kratos, metadata: { k: 'v'.repeat(1025) } })).toMatch(/longer than 1,024 bytes/);
  });

  it('keep their reason short and harmless, whatever they hold', () => {
    const reason = reasonOf({ Op: 0, Addr: `x\n\u001b[2J${'y'.repeat(5000)}` });
    expect(reason).not.toMatch(/\p{Cc}/u);
    expect(reason.length).toBeLessThan(200);
  });
});

describe('what is taken from a value', () => {
  it('has no prototype, is frozen, and pollutes nothing', () => {
    const value = `{"id":"users-1","name":"users","endpoints":["grpc://a:1"],"__proto__":{"polluted":"1"},
      "metadata":{"__proto__":"x","constructor":"y","prototype":"z","toString":"t","ok":"1"}}`;
    const { metadata, ...instance } = instanceOf(value);
    expect(Object.getPrototypeOf(metadata)).toBeNull();
    expect(Object.isFrozen(metadata)).toBe(true);
    expect(Object.entries(metadata)).toEqual([
      ['toString', 't'],
      ['ok', '1'],
    ]);
    expect(instance).not.toHaveProperty('polluted');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('is frozen all through', () => {
    const instance = instanceOf(native);
    expect(Object.isFrozen(instance)).toBe(true);
    expect(Object.isFrozen(instance.endpoints)).toBe(true);
    expect(instance.endpoints.every((endpoint) => Object.isFrozen(endpoint))).toBe(true);
  });

  it('leaves out fields that nobody knows, and inherited ones', () => {
    expect(Object.keys(instanceOf({ ...native, extra: 1, suspect: true }))).not.toContain('extra');
    expect(instanceOf({ ...native, suspect: true }).suspect).toBe(false);
    expect(reasonOf('{"__proto__":{"Addr":"a:1"}}')).toContain('no known format');
  });

  it('is a native instance with a date that cannot be read, without the date', () => {
    expect(instanceOf({ ...native, registeredAt: 'yesterday' })).toMatchObject({ format: 'native' });
    expect(instanceOf({ ...native, registeredAt: 'yesterday' })).not.toHaveProperty('registeredAt');
  });
});

describe('any value at all', () => {
  const stored = Buffer.from(
    encodeInstance(
      {
        service: 'users',
        id: 'users-1',
        endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port: 50_051, secure: false }],
        weight: 10,
        metadata: { team: 'x' },
        registeredAt: new Date(0),
      },
      'up',
    ),
  );
  const json = fc.json({ maxDepth: 5 }).map((text) => Buffer.from(text));
  const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
  const anything = fc.anything({ maxDepth: 3 });
  const toJson = (value: unknown): Buffer => {
    try {
      return Buffer.from(
        JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? String(item) : item)),
      );
    } catch {
      return Buffer.from('{}');
    }
  };
  /** A good value of any format in which some fields say something else. */
  const altered = fc
    .tuple(
      fc.constantFrom<object>(
        native,
        kratos,
        { Op: 0, Addr: 'a:1', Metadata: {} },
        { network: 'tcp', address: 'a:1', weight: 1, tags: {} },
        { name: 'users', nodes: [{ id: 'x', address: 'a:1', metadata: {} }] },
      ),
      fc.dictionary(
        fc.constantFrom(...Object.keys(native), 'Metadata', 'version', 'nodes', '__proto__', 'extra'),
        fc.oneof(anything, fc.string(), fc.dictionary(fc.string(), fc.string()), fc.array(fc.webUrl())),
        { maxKeys: 2 },
      ),
    )
    .map(([base, changes]) => toJson({ ...base, ...changes }));
  const damaged = fc
    .array(fc.tuple(fc.nat(stored.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const copy = Buffer.from(stored);
      for (const [index, byte] of changes) copy[index] = byte;
      return copy;
    });

  it('gives an instance that keeps every promise, or a reason, and never throws', () => {
    let readable = 0;
    let unreadable = 0;
    fc.assert(
      fc.property(
        fc.oneof(bytes, json, altered, damaged),
        fc.constantFrom('users-1', '/services/users'),
        (value, id) => {
          const result = read(value, id);
          expect(({} as Record<string, unknown>).polluted).toBeUndefined();
          if (!result.ok) {
            unreadable++;
            expect(result.reason).toMatch(/^[^\p{Cc}]{1,300}$/u);
            return;
          }
          readable++;
          const { instance } = result;
          expect(instance).toMatchObject({ service: 'users', id, suspect: false });
          expect(instance.weight).toSatisfy((w: number) => Number.isInteger(w) && w >= 1 && w <= 10_000);
          expect(instance.port).toSatisfy((p: number) => p >= 1 && p <= 65_535);
          expect(Object.getPrototypeOf(instance.metadata)).toBeNull();
          expect(Object.values(instance.metadata).every((item) => typeof item === 'string')).toBe(true);
          expect(instance.endpoints.length).toBeGreaterThan(0);
        },
      ),
      { numRuns: 3000 },
    );
    // Both sides must have been seen, or the property says nothing.
    expect(readable).toBeGreaterThan(300);
    expect(unreadable).toBeGreaterThan(300);
  });
});
