import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RangeRequest, RangeResponse } from './etcd-client.js';
import { EtcdRequestError } from './etcd-status.js';
import { decodeKey, encodeKey } from './key-codec.js';
import { listRange, PageSize, prefixRange } from './key-range.js';

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

  const listing = async (
    sizes: readonly number[],
    range: (request: RangeRequest, answer: () => RangeResponse) => RangeResponse,
    pages = new PageSize(),
  ) => {
    const limits: number[] = [];
    const all = sizes.map((size, i) => ({ ...kv(`/a/${String(i).padStart(6, '0')}`), value: Buffer.alloc(size) }));
    const etcd = {
      range: async (request: RangeRequest): Promise<RangeResponse> => {
        limits.push(request.limit ?? 0);
        return range(request, () => {
          const rest = all.filter(({ key }) => key >= request.key);
          const kvs = rest.slice(0, request.limit);
          return { header, kvs, more: kvs.length < rest.length, count: rest.length };
        });
      },
    };
    const seen: string[] = [];
    for await (const page of listRange(etcd, prefixRange('/a/'), { pages }))
      seen.push(...page.kvs.map(({ key }) => key));
    expect(seen).toEqual(all.map(({ key }) => key));
    return limits;
  };
  const passing = (_: RangeRequest, answer: () => RangeResponse) => answer();

  it('takes pages of 1,000 instances, of fewer keys at first and where values are large', async () => {
    expect(
      await listing(
        Array.from({ length: 2_500 }, () => 300),
        passing,
      ),
    ).toEqual([250, 500, 1_000, 1_000]);
    const limits = await listing(
      Array.from({ length: 1_900 }, (_, i) => (i < 1_000 ? 16_000 : 300)),
      passing,
    );
    expect(limits).toEqual([250, 130, 130, 130, 130, 130, 130, 169, 338, 676]);
  });

  it('keeps the lesson for the next list', async () => {
    const pages = new PageSize();
    const sizes = Array.from({ length: 8 }, () => 1_400_000);
    await listing(sizes, passing, pages);
    expect(await listing(sizes, passing, pages)).toEqual(Array.from({ length: 8 }, () => 1));
  });

  it('asks for less when a page is refused for its size, down to a single key', async () => {
    const limit = 4 * 1024 * 1024;
    const limits = await listing(
      Array.from({ length: 40 }, (_, i) => (i < 8 ? 1_400_000 : 300)),
      (_, answer) => {
        const page = answer();
        const bytes = page.kvs.reduce((sum, { value }) => sum + value.length, 0);
        if (bytes > limit) throw new EtcdRequestError('too-large', `message larger than max (${bytes} vs ${limit})`);
        return page;
      },
    );
    expect(limits.slice(0, 7)).toEqual([250, 63, 16, 4, 1, 1, 1]);
    const never = listing([1, 1], () => {
      throw new EtcdRequestError('too-large', 'message larger than max');
    });
    await expect(never).rejects.toMatchObject({ failure: 'too-large' });
  });

  it('asks for less after a page that did not come in its time, but not for single keys', () => {
    const pages = new PageSize();
    const sizes = Array.from({ length: 6 }, () => {
      pages.timedOut();
      return pages.keys;
    });
    expect(sizes).toEqual([63, 16, 8, 8, 8, 8]);
    pages.refused();
    pages.refused();
    pages.timedOut();
    expect(pages.keys).toBe(1);
  });

  it('ends on a page that promises more and holds nothing', async () => {
    const etcd = { range: () => Promise.resolve({ header, kvs: [], more: true, count: 5 }) };
    const pages = [];
    for await (const page of listRange(etcd, prefixRange('/a/'))) pages.push(page);
    expect(pages).toHaveLength(1);
  });
});
