import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { prefixRange } from '../../src/etcd/key-range.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { WatchRecorder } from './watch-recorder.js';

describe('watches on a real etcd', () => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let prefix: string;
  let lease: string;

  beforeAll(async () => {
    server = await EtcdServer.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    etcd = createEtcdClient({ endpoints: [server.endpoint], dialTimeoutMs: 5_000 });
    prefix = `/watch/${randomUUID()}/`;
    lease = (await etcd.grantLease(60)).id;
  });
  afterEach(() => etcd.close());

  const put = (key: string, value: string | Buffer = 'v') =>
    etcd.txn({ compare: [], success: [{ type: 'put', key, value, lease }] });
  const revision = async () => (await etcd.range({ key: prefix })).header.revision;
  const watch = (from: string, startRevision: number) => {
    const recorder = new WatchRecorder();
    const handle = etcd.watch({ ...prefixRange(from), startRevision }, recorder);
    return { recorder, handle };
  };
  const streams = async () => {
    const text = await (await fetch(`http://${server.endpoint}/metrics`)).text();
    const of = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? 0);
    return { streams: of('etcd_debugging_mvcc_watch_stream_total'), watchers: of('etcd_debugging_mvcc_watcher_total') };
  };

  it('delivers to each watch its own events, all on one stream', async () => {
    const start = (await revision()) + 1;
    const watches = Array.from({ length: 20 }, (_, n) => watch(`${prefix}${n}/`, start));
    await expect.poll(() => watches.every(({ recorder }) => recorder.createdAt.length === 1)).toBe(true);
    expect(await streams()).toEqual({ streams: 1, watchers: 20 });

    for (let n = 0; n < 20; n++) await put(`${prefix}${n}/x`);
    await expect.poll(() => watches.every(({ recorder }) => recorder.seen.length > 0)).toBe(true);
    expect(watches.map(({ recorder }) => recorder.seen)).toEqual(watches.map((_, n) => [`put ${prefix}${n}/x`]));

    for (const { handle } of watches.slice(1)) handle.close();
    await expect.poll(streams).toEqual({ streams: 1, watchers: 1 });
    watches[0]!.handle.close();
    await expect.poll(streams).toEqual({ streams: 0, watchers: 0 });
    expect(watches.flatMap(({ recorder }) => recorder.ends)).toEqual([]);
  });

  it('delivers all events of one revision in one call, and replays from the start revision', async () => {
    const start = (await revision()) + 1;
    const keys = Array.from({ length: 50 }, (_, n) => `${prefix}${String(n).padStart(2, '0')}`);
    await etcd.txn({ compare: [], success: keys.map((key) => ({ type: 'put', key, value: 'v', lease }) as const) });
    await put(`${prefix}z`);
    const { recorder } = watch(prefix, start);
    await expect.poll(() => recorder.seen.length).toBe(51);
    const revisions = recorder.batches.map((batch) => [...new Set(batch.map(({ modRevision }) => modRevision))]);
    expect(new Set(revisions.flat()).size).toBe(revisions.flat().length);
  });

  it('delivers a replay far above the 4 MB a grpc-js client takes by default, in fragments', async () => {
    const start = (await revision()) + 1;
    const value = Buffer.alloc(1_400_000, 'x');
    for (let n = 0; n < 8; n++) await put(`${prefix}${n}`, value);
    const { recorder } = watch(prefix, start);
    await expect.poll(() => recorder.seen.length, { timeout: 10_000 }).toBe(8);
    expect(recorder.batches.flat().every((event) => event.value.equals(value))).toBe(true);
    expect(recorder.ends).toEqual([]);
  });

  it('ends a watch on a compacted revision, and no other', async () => {
    const start = (await revision()) + 1;
    await put(`${prefix}a`);
    const { header } = await put(`${prefix}b`);
    const healthy = watch(prefix, header.revision + 1);
    await server.etcdctl('compact', String(header.revision));
    const late = watch(prefix, start);
    await expect
      .poll(() => late.recorder.ends)
      .toMatchObject([{ reason: 'compacted', compactRevision: header.revision }]);

    await put(`${prefix}c`);
    await expect.poll(() => healthy.recorder.seen).toEqual([`put ${prefix}c`]);
    expect(healthy.recorder.ends).toEqual([]);
  });

  it('survives hundreds of watches that come and go', async () => {
    const start = (await revision()) + 1;
    const stays = watch(prefix, start);
    for (let round = 0; round < 300; round++) {
      const { handle } = watch(`${prefix}${round}/`, start);
      if (round % 3 === 0) await put(`${prefix}n${round}`);
      handle.close();
    }
    await expect.poll(() => stays.recorder.seen.length).toBe(100);
    await expect.poll(streams).toEqual({ streams: 1, watchers: 1 });
  });
});
