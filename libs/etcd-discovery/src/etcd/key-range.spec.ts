import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RangeRequest, RangeResponse } from './etcd-client.js';
import { decodeKey, encodeKey } from './key-codec.js';
import { listRange, prefixRange } from './key-range.js';

const bytes = (text: string) => encodeKey(text);

describe('keys', () => {
  it('come back as the bytes they were, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (raw) => {
        const key = Buffer.from(raw);
        expect(encodeKey(decodeKey(key)).equals(key)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are plain text when they are text', () => {
    expect(decodeKey(Buffer.from('/services/größe/服务/😀'))).toBe('/services/größe/服务/😀');
  });
});

describe('the range of a prefix', () => {
  it('is the last byte plus one', () => {
    expect(prefixRange('/services/users/')).toEqual({ key: '/services/users/', rangeEnd: '/services/users0' });
  });

  it('holds exactly the keys that start with it, in the order of bytes', () => {
    const text = fc.string({ unit: 'binary', maxLength: 4 });
    fc.assert(
      fc.property(text, text, (prefix, key) => {
        const range = prefixRange(prefix);
        const from = prefix === '' ? Buffer.alloc(0) : bytes(range.key);
        const inside =
          bytes(key).compare(from) >= 0 && (range.rangeEnd === '\0' || bytes(key).compare(bytes(range.rangeEnd!)) < 0);
        expect(inside).toBe(key.startsWith(prefix));
      }),
      { numRuns: 2_000 },
    );
  });

  it('has no end where nothing sorts higher', () => {
    expect(prefixRange('\u{10ffff}').rangeEnd).toBe('\0');
    expect(prefixRange('')).toEqual({ key: '\0', rangeEnd: '\0' });
    expect(prefixRange('\ud7ff').rangeEnd).toBe('\ue000');
  });
});

describe('a list', () => {
  const header = { clusterId: '1', memberId: '1', revision: 7, raftTerm: 1 };
  const kv = (key: string) => ({
    key,
    value: Buffer.alloc(0),
    createRevision: 1,
    modRevision: 1,
    version: 1,
    lease: '0',
  });

  it('asks for each page after the first at the revision of the first', async () => {
    const asked: RangeRequest[] = [];
    const keys = ['/a/1', '/a/2', '/a/3'];
    const etcd = {
      range: (request: RangeRequest): Promise<RangeResponse> => {
        asked.push(request);
        const rest = keys.filter((key) => key >= request.key);
        return Promise.resolve({
          header: { ...header, revision: 7 + asked.length },
          kvs: rest.slice(0, request.limit).map(kv),
          more: rest.length > request.limit!,
          count: rest.length,
        });
      },
    };
    const seen = [];
    for await (const page of listRange(etcd, prefixRange('/a/'), { pageSize: 1, keysOnly: true })) {
      seen.push(...page.kvs.map(({ key }) => key));
    }
    expect(seen).toEqual(keys);
    expect(
      asked.map(({ key, revision, limit, rangeEnd, keysOnly }) => [key, revision, limit, rangeEnd, keysOnly]),
    ).toEqual([
      ['/a/', 0, 1, '/a0', true],
      ['/a/1\0', 8, 1, '/a0', true],
      ['/a/2\0', 8, 1, '/a0', true],
    ]);
  });

  it('ends on a page that promises more and holds nothing', async () => {
    const etcd = { range: () => Promise.resolve({ header, kvs: [], more: true, count: 5 }) };
    const pages = [];
    for await (const page of listRange(etcd, prefixRange('/a/'))) pages.push(page);
    expect(pages).toHaveLength(1);
  });
});
