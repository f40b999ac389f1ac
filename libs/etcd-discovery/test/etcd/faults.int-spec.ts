import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EtcdClient, WatchEvent } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { prefixRange } from '../../src/etcd/key-range.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { freePort } from '../../../../test/support/free-port.js';
import { FaultProxy } from '../../../../test/support/fault-proxy.js';
import { WatchRecorder } from './watch-recorder.js';

describe('an etcd that fails', () => {
  let server: EtcdServer;
  let prefix: string;
  const cleanup: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    server = await EtcdServer.start();
    prefix = `/faults/${randomUUID()}/`;
  });
  afterEach(async () => {
    for (const undo of cleanup.splice(0).reverse()) await undo();
    await server.stop();
  });

  const client = (...endpoints: string[]): EtcdClient => {
    // The first endpoint of the list is the first to be used.
    const etcd = createEtcdClient({ endpoints, dialTimeoutMs: 5_000 }, { random: () => 0 });
    cleanup.push(() => etcd.close());
    return etcd;
  };
  const proxy = async (target = server.endpoint): Promise<FaultProxy> => {
    const started = await FaultProxy.start(target);
    cleanup.push(() => started.stop());
    return started;
  };
  const failureOf = (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      (error: Error & { failure?: string }) => error.failure ?? error.message,
    );

  it('is reported at once when it refuses connections, and found again when it is back', async () => {
    const etcd = client(server.endpoint);
    await etcd.range({ key: prefix });
    await server.kill();
    const error = await etcd.range({ key: prefix }).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ failure: 'unreachable', code: 'ETCD_UNAVAILABLE' });
    expect((error as Error).message).toContain(server.endpoint);
    expect(etcd.gate.state.open).toBe(false);
    await expect(etcd.range({ key: prefix })).rejects.toThrow(
      /was not tried, etcd is away since .*ECONNREFUSED|dropped|closed/,
    );

    const changes: boolean[] = [];
    etcd.gate.onChange(({ open }) => changes.push(open));
    await server.up();
    const back = performance.now();
    await etcd.gate.whenOpen(AbortSignal.timeout(10_000));
    expect(performance.now() - back).toBeLessThan(2_000);
    expect(changes).toEqual([true]);
    await expect(etcd.range({ key: prefix })).resolves.toBeDefined();
  });

  it('is dialled about once a second by the whole process, however many want something from it', async () => {
    const between = await proxy();
    const etcd = client(between.endpoint);
    await etcd.range({ key: prefix });
    between.cut();
    const before = between.accepted;
    const started = performance.now();
    let calls = 0;
    const users = Array.from({ length: 30 }, async () => {
      while (performance.now() - started < 5_000) {
        await failureOf(etcd.range({ key: prefix }));
        await failureOf(etcd.range({ key: prefix }, { via: 'watch' }));
        await failureOf(etcd.keepAliveLease('1'));
        await new Promise<void>((resolve) => {
          etcd.watch({ ...prefixRange(prefix), startRevision: 1 }, { events: () => undefined, end: () => resolve() });
        });
        calls += 4;
        await delay(5);
      }
    });
    await Promise.all(users);
    expect(calls).toBeGreaterThan(1_000);
    // 0.1, 0.2, 0.4 and 0.8 s apart at first, then 1 s and more; and the first of each role.
    expect(between.accepted - before).toBeLessThanOrEqual(10);
    between.pass();
    await etcd.gate.whenOpen(AbortSignal.timeout(5_000));
    expect(await failureOf(etcd.range({ key: prefix }))).toBe('none');
  });

  it('is noticed when it falls silent, and everything works again when it wakes up', async () => {
    const etcd = client(server.endpoint);
    const { id } = await etcd.grantLease(60);
    const { header } = await etcd.range(prefixRange(prefix), { via: 'watch' });
    const watch = new WatchRecorder();
    etcd.watch({ ...prefixRange(prefix), startRevision: header.revision + 1 }, watch);
    await expect.poll(() => watch.createdAt.length).toBe(1);

    server.pause();
    cleanup.push(() => Promise.resolve(server.resume()));
    const started = performance.now();
    expect(await failureOf(etcd.keepAliveLease(id, { timeoutMs: 500 }))).toBe('unreachable');
    expect(performance.now() - started).toBeLessThan(1_500);
    expect(etcd.gate.state.open).toBe(false);
    await expect.poll(() => watch.ends, { timeout: 10_000 }).toMatchObject([{ reason: 'silent' }]);

    server.resume();
    const woken = performance.now();
    await etcd.gate.whenOpen(AbortSignal.timeout(10_000));
    expect(performance.now() - woken).toBeLessThan(2_500);
    expect(await etcd.keepAliveLease(id)).toEqual({ ttl: 60 });
    const again = new WatchRecorder();
    await etcd.range(prefixRange(prefix), { via: 'watch' });
    etcd.watch({ ...prefixRange(prefix), startRevision: header.revision + 1 }, again);
    await etcd.txn({ compare: [], success: [{ type: 'put', key: `${prefix}a`, value: '', lease: id }] });
    await expect.poll(() => again.seen).toEqual([`put ${prefix}a`]);
  });

  it('ends every watch once when it is restarted, and loses no event to whoever lists and watches again', async () => {
    const etcd = client(server.endpoint);
    const { id: lease } = await etcd.grantLease(60);
    const known = new Set<string>();
    let ends = 0;
    const stop = new AbortController();
    const follow = async () => {
      while (!stop.signal.aborted) {
        await etcd.gate.whenOpen(stop.signal);
        try {
          const { header, kvs } = await etcd.range(prefixRange(prefix), { via: 'watch' });
          for (const { key } of kvs) known.add(key);
          await new Promise<void>((resolve) => {
            const startRevision = header.revision + 1;
            const events = (changes: readonly WatchEvent[]) => changes.forEach(({ key }) => known.add(key));
            etcd.watch(
              { ...prefixRange(prefix), startRevision },
              {
                events,
                end: () => {
                  ends++;
                  resolve();
                },
              },
            );
          });
        } catch {
          await delay(10);
        }
      }
    };
    const following = follow();
    const put = async (key: string) => {
      await expect
        .poll(() => failureOf(etcd.txn({ compare: [], success: [{ type: 'put', key, value: '', lease }] })), {
          timeout: 10_000,
        })
        .toBe('none');
    };
    for (let round = 0; round < 3; round++) {
      await put(`${prefix}${round}-before`);
      await expect.poll(() => known.size, { timeout: 5_000 }).toBe(2 * round + 1);
      await server.restart();
      await put(`${prefix}${round}-after`);
      await expect.poll(() => known.size, { timeout: 5_000 }).toBe(2 * round + 2);
    }
    expect(ends).toBeGreaterThanOrEqual(3);
    stop.abort();
    await etcd.close();
    await following;
  });

  it('is replaced by the next endpoint within the same call', async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    const etcd = client(dead, server.endpoint);
    expect(await failureOf(etcd.range({ key: prefix }))).toBe('none');
    expect(await failureOf(etcd.range({ key: prefix }, { via: 'watch' }))).toBe('none');
    // Never sent, so it may be tried elsewhere although it must not be done twice.
    await expect(etcd.grantLease(10)).resolves.toMatchObject({ ttl: 10 });
    expect(etcd.endpoint).toBe(server.endpoint);
    expect(etcd.gate.state.open).toBe(true);

    const watch = new WatchRecorder();
    etcd.watch({ ...prefixRange(prefix), startRevision: 1 }, watch);
    await expect.poll(() => watch.createdAt.length).toBe(1);
  });

  it('is reported within the deadline when it does not even finish connecting, and found when it does', async () => {
    const mute = await proxy();
    mute.swallowAnswers();
    const etcd = client(mute.endpoint);
    const started = performance.now();
    const first = await Promise.all(Array.from({ length: 10 }, () => failureOf(etcd.range({ key: prefix }))));
    expect(new Set(first)).toEqual(new Set(['unreachable']));
    expect(performance.now() - started).toBeLessThan(3_000);
    await expect(etcd.range({ key: prefix })).rejects.toThrow(/was not tried.*still connecting/);
    expect(mute.accepted).toBe(1);

    mute.pass();
    await etcd.gate.whenOpen(AbortSignal.timeout(10_000));
    expect(await failureOf(etcd.range({ key: prefix }))).toBe('none');
  });

  it('is left for the next endpoint when it does not even finish connecting', async () => {
    const mute = await proxy();
    mute.swallowAnswers();
    const etcd = client(mute.endpoint, server.endpoint);
    await expect.poll(() => failureOf(etcd.range({ key: prefix })), { timeout: 6_000 }).toBe('none');
    expect(etcd.endpoint).toBe(server.endpoint);
  });

  it('is not looked for again by every role where the first has found nothing', async () => {
    const mute = await proxy();
    mute.freeze();
    const etcd = client(mute.endpoint, server.endpoint);
    await expect.poll(() => failureOf(etcd.range({ key: prefix })), { timeout: 6_000 }).toBe('none');
    const { id } = await etcd.grantLease(60);
    await etcd.keepAliveLease(id);
    await etcd.range({ key: prefix }, { via: 'watch' });
    expect(mute.accepted).toBe(1);
  });

  it('is not sent a transaction twice when the answer to the first is lost', async () => {
    const between = await proxy();
    const etcd = client(between.endpoint, server.endpoint);
    const direct = client(server.endpoint);
    const { id: lease } = await etcd.grantLease(60);
    const key = `${prefix}once`;
    await etcd.range({ key });

    between.swallowAnswers();
    const txn = failureOf(etcd.txn({ compare: [], success: [{ type: 'put', key, value: '', lease }] }));
    const read = failureOf(etcd.range({ key }));
    await expect.poll(async () => (await direct.range({ key })).kvs[0]?.version).toBe(1);
    between.cut();
    expect(await txn).toBe('unreachable');
    // A read may be repeated, and was: at the second endpoint.
    expect(await read).toBe('none');
    expect((await direct.range({ key })).kvs[0]?.version).toBe(1);
    expect(etcd.gate.state.open).toBe(true);
  });

  it('is found again over a new connection when all the old ones have died without a word', async () => {
    const between = await proxy();
    const etcd = client(between.endpoint);
    const { id: lease } = await etcd.grantLease(60);
    await etcd.range({ key: prefix });
    await etcd.keepAliveLease(lease);
    between.freezeOpen();
    expect(await failureOf(etcd.keepAliveLease(lease, { timeoutMs: 300 }))).toBe('unreachable');
    const noticed = performance.now();
    await etcd.gate.whenOpen(AbortSignal.timeout(10_000));
    expect(await failureOf(etcd.keepAliveLease(lease))).toBe('none');
    // A lease of 3 s has two thirds of its time left; a probe on an old connection would wait for 7 s.
    expect(performance.now() - noticed).toBeLessThan(2_000);
  });

  it('names the host that cannot be resolved', async () => {
    const etcd = client('no-such-host.invalid:2379');
    await expect(etcd.range({ key: prefix })).rejects.toMatchObject({ failure: 'unreachable' });
    await expect(etcd.range({ key: prefix })).rejects.toThrow(/no-such-host\.invalid:2379/);
    expect(await client('no-such-host.invalid:2379').localAddress()).toBeUndefined();
  });
});
