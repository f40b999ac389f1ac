import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pair } from './support/pair.js';
import type { Message } from './support/raw-etcd.js';

let pair: Pair;
beforeAll(async () => {
  pair = await Pair.start();
});
afterAll(() => pair.stop());

const b = (text: string) => Buffer.from(text);
const put = (key: string, value = '', more: Message = {}) =>
  pair.same('KV', 'Put', { key: b(key), value: b(value), ...more });
const range = (key: string, more: Message = {}) => pair.same('KV', 'Range', { key: b(key), ...more });
const del = (key: string, more: Message = {}) => pair.same('KV', 'DeleteRange', { key: b(key), ...more });
const txn = (request: Message) => pair.same('KV', 'Txn', request);
const revision = async () =>
  Number(
    ((await pair.embedded.ok('KV', 'Range', { key: b('x') })) as { header: { revision: string } }).header.revision,
  );
const refused = (code: status, details: string) => ({ code, details: `etcdserver: ${details}` });

describe('an embedded etcd beside a real one: reading and writing', () => {
  it('puts, with the previous value, keeping the value, keeping the lease', async () => {
    await put('kv/a', '1');
    await put('kv/a', '2', { prev_kv: true });
    await put('kv/new', '2', { prev_kv: true });
    await put('kv/a', '', { ignore_value: true });
    await put('kv/a', '3', { ignore_lease: true, prev_kv: true });
    expect(await put('kv/none', '', { ignore_value: true })).toEqual(refused(status.INVALID_ARGUMENT, 'key not found'));
    expect(await put('kv/none', 'x', { ignore_lease: true })).toEqual(
      refused(status.INVALID_ARGUMENT, 'key not found'),
    );
    expect(await put('kv/a', 'x', { ignore_value: true })).toEqual(
      refused(status.INVALID_ARGUMENT, 'value is provided'),
    );
    expect(await put('kv/a', 'x', { ignore_lease: true, lease: '5' })).toEqual(
      refused(status.INVALID_ARGUMENT, 'lease is provided'),
    );
    expect(await put('', 'x')).toEqual(refused(status.INVALID_ARGUMENT, 'key is not provided'));
    expect(await put('kv/a', 'x', { lease: '12345' })).toEqual(refused(status.NOT_FOUND, 'requested lease not found'));
  });

  it('keeps keys and values that are no text', async () => {
    const key = Buffer.from([0x66, 0x00, 0xff, 0x80]);
    await pair.same('KV', 'Put', { key, value: Buffer.from([0xff, 0x00]) });
    await pair.same('KV', 'Range', { key: Buffer.from([0x66]), range_end: Buffer.from([0x67]) });
    await pair.same('KV', 'DeleteRange', { key, prev_kv: true });
  });

  it('lists a range by every limit, order, filter and revision', async () => {
    const first = await revision();
    for (const [key, value] of [
      ['r/c', '1'],
      ['r/a', '3'],
      ['r/b', '2'],
      ['r/a', '9'],
      ['r/d', '0'],
    ] as const)
      await put(key, value);
    await del('r/b');
    await put('r/b', '5');
    const all = { range_end: b('r0') };
    for (const sort_target of [0, 1, 2, 3, 4]) {
      for (const sort_order of [0, 1, 2]) {
        await range('r/', { ...all, sort_target, sort_order });
        await range('r/', { ...all, sort_target, sort_order, limit: 2 });
      }
    }
    for (const limit of [1, 3, 4, 5, -1]) await range('r/', { ...all, limit });
    for (let at = first; at <= first + 7; at++) await range('r/', { ...all, revision: at });
    for (const bound of ['min_mod_revision', 'max_mod_revision', 'min_create_revision', 'max_create_revision']) {
      for (const delta of [1, 2, 4, 6]) await range('r/', { ...all, [bound]: first + delta, limit: 2 });
    }
    await range('r/', { ...all, keys_only: true });
    await range('r/', { ...all, count_only: true });
    await range('r/', { ...all, count_only: true, limit: 1 });
    await range('r/c', { range_end: b('r/a') });
    await range('r/b', { range_end: Buffer.from([0]) });
    await range('r/', { ...all, serializable: true });
    await range('r/', { ...all, revision: -1 });
    expect(await range('r/', { ...all, revision: first + 100 })).toEqual(
      refused(status.OUT_OF_RANGE, 'mvcc: required revision is a future revision'),
    );
    expect(await range('')).toEqual(refused(status.INVALID_ARGUMENT, 'key is not provided'));
  });

  it('deletes one key, a range, and what is not there', async () => {
    for (const key of ['d/1', 'd/2', 'd/3']) await put(key, key);
    await del('d/9');
    await del('d/1', { prev_kv: true });
    await del('d/', { range_end: b('d0'), prev_kv: true });
    await del('d/', { range_end: b('d0') });
    expect(await del('')).toEqual(refused(status.INVALID_ARGUMENT, 'key is not provided'));
  });

  it('refuses a request that is too large, and takes the largest one', async () => {
    await pair.same('KV', 'Put', { key: b('big'), value: Buffer.alloc(1.4 * 1024 * 1024, 'v') });
    expect(await pair.same('KV', 'Put', { key: b('big'), value: Buffer.alloc(1.6 * 1024 * 1024) })).toEqual(
      refused(status.INVALID_ARGUMENT, 'request is too large'),
    );
    const half = { request_put: { key: b('big1'), value: Buffer.alloc(0.8 * 1024 * 1024) } };
    await txn({ success: [half, { request_put: { ...half.request_put, key: b('big2') } }] });
    const [real, embedded] = await pair.both((client) =>
      client.call('KV', 'Put', { key: b('big'), value: Buffer.alloc(3 * 1024 * 1024) }),
    );
    expect([real, embedded]).toEqual([
      expect.objectContaining({ code: status.RESOURCE_EXHAUSTED }),
      expect.objectContaining({ code: status.RESOURCE_EXHAUSTED }),
    ]);
    await del('big', { range_end: b('bih') });
  });
});

describe('an embedded etcd beside a real one: transactions', () => {
  const compare = (key: string, target: number, result: number, more: Message = {}) => ({
    key: b(key),
    target,
    result,
    ...more,
  });
  const opPut = (key: string, value = 'v', more: Message = {}) => ({
    request_put: { key: b(key), value: b(value), ...more },
  });
  const opGet = (key: string, more: Message = {}) => ({ request_range: { key: b(key), ...more } });
  const opDel = (key: string, more: Message = {}) => ({ request_delete_range: { key: b(key), ...more } });
  const [VERSION, CREATE, MOD, VALUE, LEASE] = [0, 1, 2, 3, 4] as const;
  const results = [0, 1, 2, 3];

  it('compares every field with every relation, present and absent, single and range', async () => {
    const at = await revision();
    await put('t/a', 'm');
    await put('t/b', 'z');
    for (const result of results) {
      for (const key of ['t/a', 't/none']) {
        for (const value of [0, 1, 2]) await txn({ compare: [compare(key, VERSION, result, { version: value })] });
        await txn({ compare: [compare(key, CREATE, result, { create_revision: at + 1 })] });
        await txn({ compare: [compare(key, MOD, result, { mod_revision: at + 1 })] });
        for (const value of ['', 'm', 'zz']) await txn({ compare: [compare(key, VALUE, result, { value: b(value) })] });
        await txn({ compare: [compare(key, LEASE, result, { lease: '0' })] });
        await txn({ compare: [compare(key, LEASE, result, { lease: '9' })] });
        // A target without its value counts as 0.
        await txn({ compare: [compare(key, VERSION, result, { mod_revision: 1 })] });
      }
      await txn({ compare: [compare('t/', MOD, result, { mod_revision: at + 1, range_end: b('t0') })] });
      await txn({ compare: [compare('t/', VALUE, result, { value: b('a'), range_end: b('t0') })] });
      await txn({ compare: [compare('u/', VERSION, result, { version: 0, range_end: b('u0') })] });
    }
  });

  it('runs all operations of a branch as one revision, each seeing those before it', async () => {
    await txn({
      compare: [compare('t/x', VERSION, 0, { version: 0 })],
      success: [
        opPut('t/x', '1'),
        opGet('t/x'),
        opPut('t/y', '2', { prev_kv: true }),
        opGet('t/', { range_end: b('t0') }),
        opDel('t/a', { prev_kv: true }),
      ],
      failure: [opGet('t/x')],
    });
    await txn({
      compare: [compare('t/x', VERSION, 0, { version: 0 })],
      success: [opPut('t/x', '1')],
      failure: [opGet('t/x'), opDel('t/x'), opGet('t/x')],
    });
    await txn({});
    await txn({ success: [opDel('t/nothing')] });
  });

  it('runs nested transactions, whose compares see the state before the outer one', async () => {
    await put('n/a', '1');
    const nested = {
      request_txn: {
        compare: [compare('n/a', VALUE, 0, { value: b('1') })],
        success: [
          opGet('n/a'),
          {
            request_txn: {
              compare: [compare('n/c', VERSION, 1, { version: 0 })],
              success: [opPut('n/d')],
              failure: [opPut('n/e')],
            },
          },
        ],
        failure: [opPut('n/wrong')],
      },
    };
    await txn({ success: [opPut('n/a', '2'), nested, opPut('n/c'), { request_txn: {} }] });
    await range('n/', { range_end: b('n0') });
  });

  it('refuses what would write a key twice, wherever it stands', async () => {
    const duplicate = refused(status.INVALID_ARGUMENT, 'duplicate key given in txn request');
    const nested = (...success: Message[]) => ({ request_txn: { success } });
    expect(await txn({ success: [opPut('w/a'), opPut('w/a')] })).toEqual(duplicate);
    expect(await txn({ failure: [opPut('w/a'), opPut('w/a')] })).toEqual(duplicate);
    expect(await txn({ success: [opPut('w/a'), opDel('w/a')] })).toEqual(duplicate);
    expect(await txn({ success: [opDel('w/', { range_end: b('w0') }), opPut('w/a')] })).toEqual(duplicate);
    expect(await txn({ success: [opPut('w/a'), nested(opPut('w/a'))] })).toEqual(duplicate);
    expect(await txn({ success: [nested(opDel('w/a')), nested(opPut('w/a'))] })).toEqual(duplicate);
    await txn({ success: [nested(opPut('w/a')), nested(opDel('w/a'))] });
    await txn({ success: [{ request_txn: { success: [opPut('w/b')], failure: [opPut('w/b')] } }] });
    await txn({ success: [opDel('w/', { range_end: b('w0') }), opDel('w/a'), opPut('v/a')] });
    await txn({ success: [opPut('w/c'), opDel('w/c', { range_end: Buffer.from([0]), prev_kv: true })] });
    await range('w/', { range_end: b('w0') });
  });

  it('leaves nothing behind when an operation is refused', async () => {
    const before = await revision();
    expect(await txn({ success: [opPut('e/a'), opPut('e/b', 'x', { lease: '77' })] })).toEqual(
      refused(status.NOT_FOUND, 'requested lease not found'),
    );
    expect(await txn({ success: [opPut('e/a'), opPut('e/b', '', { ignore_value: true })] })).toEqual(
      refused(status.INVALID_ARGUMENT, 'key not found'),
    );
    expect(await txn({ success: [opPut('e/a'), opGet('e/a', { revision: before + 1 })] })).toEqual(
      refused(status.OUT_OF_RANGE, 'mvcc: required revision is a future revision'),
    );
    expect(await txn({ success: [opPut('')] })).toEqual(refused(status.INVALID_ARGUMENT, 'key is not provided'));
    expect(await txn({ compare: [compare('', 0, 0)] })).toEqual(
      refused(status.INVALID_ARGUMENT, 'key is not provided'),
    );
    expect(await txn({ success: [{}] })).toEqual(refused(status.INVALID_ARGUMENT, 'key not found'));
    const many = (count: number) => Array.from({ length: count }, (_, index) => opGet(`e/${index}`));
    expect(await txn({ success: many(129) })).toEqual(
      refused(status.INVALID_ARGUMENT, 'too many operations in txn request'),
    );
    expect(await txn({ success: [...many(100), { request_txn: { success: many(29) } }] })).toEqual(
      refused(status.INVALID_ARGUMENT, 'too many operations in txn request'),
    );
    await txn({ success: many(128) });
    await range('e/', { range_end: b('e0') });
    expect(await revision()).toBe(before);
  });
});

describe('an embedded etcd beside a real one: compaction', () => {
  const compact = (at: number) => pair.same('KV', 'Compact', { revision: at, physical: true });

  it('forgets what is older, keeps what is current, and refuses the impossible', async () => {
    const first = await revision();
    await put('c/a', '1');
    await put('c/a', '2');
    await put('c/b', '1');
    await del('c/b');
    await put('c/a', '3');
    const compacted = refused(status.OUT_OF_RANGE, 'mvcc: required revision has been compacted');
    await compact(first + 2);
    expect(await range('c/', { range_end: b('c0'), revision: first + 1 })).toEqual(compacted);
    for (let at = first + 2; at <= first + 5; at++) await range('c/', { range_end: b('c0'), revision: at });
    expect(await compact(first + 2)).toEqual(compacted);
    expect(await compact(first + 1)).toEqual(compacted);
    expect(await compact(first + 100)).toEqual(
      refused(status.OUT_OF_RANGE, 'mvcc: required revision is a future revision'),
    );
    expect(await txn({ success: [{ request_range: { key: b('c/a'), revision: first + 1 } }] })).toEqual(compacted);
    expect(await txn({ success: [{ request_range: { key: b('c/a'), revision: -1 } }] })).toEqual(compacted);
    await compact(first + 5);
    await range('c/', { range_end: b('c0'), revision: first + 5 });
    await put('c/b', 'again');
    await range('c/', { range_end: b('c0') });
  });
});
