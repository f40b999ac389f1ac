import { describe, expect, it } from 'vitest';
import type { EtcdKeyValue } from '../etcd/etcd-client.js';
import { decodeKey, encodeKey } from '../etcd/key-codec.js';
import { KeyReader } from './key-reader.js';

const kv = (key: string): EtcdKeyValue => ({
  key,
  value: Buffer.from('10.0.0.1:50051'),
  createRevision: 1,
  modRevision: 1,
  version: 1,
  lease: '0',
});

const KEYS = [
  '/ns/users/a',
  '/ns/users/b',
  '/ns/users/',
  '/ns/users',
  '/ns/users/a/b',
  '/ns/users/__proto__',
  '/ns/users-v2/a',
  '/ns/users/c',
  '/ns/orders/a',
  '/ns//a',
  '/ns/orders/b',
  '/nsx/orders/b',
  'elsewhere',
];

describe('key reader', () => {
  it.each([true, false])('reads a key alike, whatever was read before (plain keys: %s)', (plainKeys) => {
    const alone = new Map(KEYS.map((key) => [key, new KeyReader('/ns', { plainKeys }).read(kv(key))]));
    expect(alone.get('/ns/users/a')).toMatchObject({ service: 'users', known: { instance: { id: 'a' } } });
    expect(alone.get('/ns/users/a/b')).toMatchObject({ service: 'users', known: { problem: expect.any(String) } });
    expect(alone.get('/nsx/orders/b')).toBeUndefined();
    const reader = new KeyReader('/ns', { plainKeys });
    for (const before of KEYS) {
      for (const key of KEYS) {
        reader.read(kv(before));
        expect(reader.read(kv(key)), `${key} after ${before}`).toEqual(alone.get(key));
        expect(reader.serviceOf(key)).toBe(alone.get(key)?.service);
      }
    }
  });
});

describe('keys of any bytes', () => {
  it('tells a replacement character from what is not UTF-8', () => {
    const written = Buffer.from('/ns/users/\ufffd');
    expect(decodeKey(written)).toBe('/ns/users/\ufffd');
    const broken = Buffer.from([0x61, 0xff, 0xef, 0xbf, 0xbd]);
    expect(decodeKey(broken)).not.toContain('a\ufffd\ufffd');
    for (const bytes of [written, broken]) expect(encodeKey(decodeKey(bytes))).toEqual(bytes);
  });
});
