import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { listRange, prefixRange } from '../../src/etcd/key-range.js';

describe('requests to a real etcd', () => {
  let etcd: EtcdClient;
  let prefix: string;
  let lease: string;

  beforeEach(async () => {
    etcd = createEtcdClient({ endpoints: [inject('etcdEndpoint')], dialTimeoutMs: 5_000 });
    prefix = `/etcd-port/${randomUUID()}/`;
    lease = (await etcd.grantLease(30)).id;
  });
  afterEach(async () => {
    await etcd.revokeLease(lease).catch(() => undefined);
    await etcd.close();
  });

  const put = (key: string, value: string | Buffer) =>
    etcd.txn({ compare: [], success: [{ type: 'put', key, value, lease }] });

  it('puts, compares, reads and deletes in transactions', async () => {
    const key = `${prefix}a`;
    const absent = { key, target: 'create', result: 'equal', value: 0 } as const;
    const first = await etcd.txn({ compare: [absent], success: [{ type: 'put', key, value: 'one', lease }] });
    expect(first.succeeded).toBe(true);

    const second = await etcd.txn({
      compare: [absent],
      success: [{ type: 'put', key, value: 'two', lease }],
      failure: [{ type: 'get', key }],
    });
    expect(second.succeeded).toBe(false);
    const [holder] = second.responses[0]!.kvs;
    expect(holder).toMatchObject({ key, createRevision: first.header.revision, version: 1, lease });
    expect(holder!.value.toString()).toBe('one');

    const guarded = { key, target: 'lease', result: 'equal', value: '1' } as const;
    expect((await etcd.txn({ compare: [guarded], success: [{ type: 'delete', key }] })).succeeded).toBe(false);
    const owned = await etcd.txn({
      compare: [{ ...guarded, value: lease }],
      success: [{ type: 'delete', key }],
    });
    expect(owned.succeeded).toBe(true);
    expect((await etcd.range({ key })).kvs).toEqual([]);
  });

  it('lists page by page at one revision', async () => {
    for (let n = 0; n < 5; n++) await put(`${prefix}${n}`, `v${n}`);
    const pages = [];
    for await (const page of listRange(etcd, prefixRange(prefix), { pageSize: 2, keysOnly: true })) {
      pages.push(page.kvs.map(({ key, value }) => [key, value.length]));
      await put(`${prefix}late-${pages.length}`, 'not at this revision');
    }
    expect(pages).toEqual([
      [
        [`${prefix}0`, 0],
        [`${prefix}1`, 0],
      ],
      [
        [`${prefix}2`, 0],
        [`${prefix}3`, 0],
      ],
      [[`${prefix}4`, 0]],
    ]);
  });

  it('keeps keys that are not UTF-8 apart and pages past them', async () => {
    for (const bytes of [0xc0, 0xfe, 0xff]) await put(prefix + String.fromCharCode(0xdc00 + bytes), 'raw');
    const keys = [];
    for await (const page of listRange(etcd, prefixRange(prefix), { pageSize: 1 })) {
      keys.push(...page.kvs.map(({ key }) => key.slice(prefix.length).charCodeAt(0)));
      expect(keys.length).toBeLessThan(10);
    }
    expect(keys).toEqual([0xdcc0, 0xdcfe, 0xdcff]);
  });

  it('renews a lease, says when it is gone, and refuses to revoke it twice', async () => {
    const { id, ttl } = await etcd.grantLease(5);
    expect(ttl).toBe(5);
    expect(await etcd.keepAliveLease(id)).toEqual({ ttl: 5 });
    await etcd.revokeLease(id);
    expect((await etcd.keepAliveLease(id)).ttl).toBeLessThanOrEqual(0);
    await expect(etcd.revokeLease(id)).rejects.toMatchObject({ failure: 'lease-not-found' });
  });

  it('names a lease that does not exist when something is put on it', async () => {
    const orphan = etcd.txn({ compare: [], success: [{ type: 'put', key: `${prefix}x`, value: '', lease: '4711' }] });
    await expect(orphan).rejects.toMatchObject({ failure: 'lease-not-found', code: 'ETCD_UNAVAILABLE' });
  });

  it('aborts a call by its signal', async () => {
    await expect(etcd.range({ key: prefix }, { signal: AbortSignal.abort('enough') })).rejects.toMatchObject({
      failure: 'cancelled',
      code: 'ABORTED',
    });
    const controller = new AbortController();
    const pending = etcd.range({ key: prefix }, { signal: controller.signal });
    controller.abort('enough');
    await expect(pending).rejects.toMatchObject({ failure: 'cancelled' });
    expect(etcd.gate.state.open).toBe(true);
  });

  it('knows the address it talks to etcd from', async () => {
    expect(await etcd.localAddress()).toBe('127.0.0.1');
  });

  it('is closed after close, and closing twice is closing once', async () => {
    await Promise.all([etcd.close(), etcd.close()]);
    await expect(etcd.range({ key: prefix })).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(etcd.localAddress()).rejects.toMatchObject({ code: 'CLOSED' });
    const ends: string[] = [];
    etcd.watch({ key: prefix, startRevision: 1 }, { events: () => undefined, end: ({ reason }) => ends.push(reason) });
    await expect.poll(() => ends).toEqual(['closed']);
  });
});
