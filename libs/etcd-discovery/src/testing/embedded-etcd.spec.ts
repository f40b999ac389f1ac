import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { type Message, RawEtcd, type WatchCall } from '../../test/testing/support/raw-etcd.js';
import { EmbeddedEtcd } from './embedded-etcd.js';

let clock: FakeClock;
let etcd: EmbeddedEtcd;
let client: RawEtcd;
beforeEach(async () => {
  clock = new FakeClock();
  etcd = await EmbeddedEtcd.start({ clock });
  client = new RawEtcd(etcd.endpoint);
});
afterEach(async () => {
  client.close();
  await etcd.close();
});

const b = (text: string) => Buffer.from(text);
const put = (key: string, lease = '0') => client.ok('KV', 'Put', { key: b(key), value: b('v'), lease });
const get = (key: string) => client.call('KV', 'Range', { key: b(key) });
const grant = (ID: string, TTL: number) => client.ok('Lease', 'LeaseGrant', { ID, TTL });
const watchAll = async (): Promise<WatchCall> => {
  const watch = client.watch();
  watch.write({ create_request: { key: Buffer.from([0]), range_end: Buffer.from([0]) } });
  await vi.waitFor(() => expect(watch.responses).toHaveLength(1));
  return watch;
};
const eventKeys = ({ responses }: WatchCall): string[][] =>
  responses.slice(1).map(({ events }) => (events as Message[]).map(({ kv }) => String((kv as Message).key)));
const revisionOf = ({ header }: Message) => Number((header as Message).revision);
/** The status of a call that is cut off, once the client has noticed. */
const codeOf = async (outcome: Promise<object>) => (await outcome) as { code?: number };
/** A call may meet the end of the old connection: the first that does not is the answer. */
const eventually = <T>(step: () => Promise<T>) => vi.waitFor(step, { timeout: 10_000, interval: 20 });

describe('start', () => {
  it('listens on a free port of its own, or on the one that is given', async () => {
    await using other = await EmbeddedEtcd.start();
    expect(other.port).not.toBe(etcd.port);
    expect(other.endpoint).toBe(`127.0.0.1:${other.port}`);
    const { port } = other;
    await other.close();
    await using again = await EmbeddedEtcd.start({ port });
    expect(again.port).toBe(port);
  });

  it('says which port is taken, and leaves nothing open', async () => {
    await expect(EmbeddedEtcd.start({ port: etcd.port })).rejects.toThrow(
      new RegExp(`cannot listen on 127\\.0\\.0\\.1:${etcd.port} .*EADDRINUSE.*give another port`),
    );
  });

  it('listens on IPv6 and writes it in brackets', async () => {
    await using six = await EmbeddedEtcd.start({ host: '::1' });
    expect(six.endpoint).toBe(`[::1]:${six.port}`);
    const other = new RawEtcd(six.endpoint);
    await other.ok('KV', 'Put', { key: b('a') });
    other.close();
    expect(six.keys()).toEqual(['a']);
  });
});

describe('what a test can look at', () => {
  it('shows keys in order, values and leases', async () => {
    await grant('10', 60);
    await grant('20', 30);
    for (const key of ['b', 'a/2', 'a/1', 'ä']) await put(key, '10');
    expect(etcd.keys()).toEqual(['a/1', 'a/2', 'b', 'ä']);
    expect(etcd.keys('a/')).toEqual(['a/1', 'a/2']);
    expect(etcd.keys('ä')).toEqual(['ä']);
    expect(etcd.value('b')).toBe('v');
    expect(etcd.value('c')).toBeUndefined();
    expect(etcd.revision).toBe(5);
    await clock.advance(1_000);
    expect(etcd.leases()).toEqual([
      { id: '20', ttlSeconds: 30, remainingMs: 29_000, keys: [] },
      { id: '10', ttlSeconds: 60, remainingMs: 59_000, keys: ['a/1', 'a/2', 'b', 'ä'] },
    ]);
  });
});

describe('a lease', () => {
  it('ends with its time, taking its keys in one revision', async () => {
    await grant('10', 5);
    await put('a', '10');
    await put('b', '10');
    await put('c');
    const watch = await watchAll();
    await clock.advance(4_999);
    expect(etcd.keys()).toEqual(['a', 'b', 'c']);
    await clock.advance(1);
    expect(etcd.keys()).toEqual(['c']);
    expect(etcd.leases()).toEqual([]);
    await vi.waitFor(() => expect(eventKeys(watch)).toEqual([['a', 'b']]));
  });

  it('lives as long as it is renewed', async () => {
    await grant('10', 5);
    await put('a', '10');
    for (let beat = 0; beat < 5; beat++) {
      await clock.advance(4_000);
      expect(await client.keepAlive('10')).toMatchObject({ answer: { TTL: '5' } });
    }
    expect(etcd.keys()).toEqual(['a']);
    await clock.advance(5_000);
    expect(etcd.keys()).toEqual([]);
    expect(await client.keepAlive('10')).toMatchObject({ answer: { TTL: '0' } });
  });

  it('ends when a test says so', async () => {
    await grant('10', 600);
    await put('a', '10');
    const watch = await watchAll();
    etcd.expireLease('10');
    expect(etcd.leases()).toEqual([]);
    await vi.waitFor(() => expect(eventKeys(watch)).toEqual([['a']]));
    expect(() => etcd.expireLease(10n)).toThrow('requested lease not found');
  });

  it('may last longer than a timer can', async () => {
    await grant('10', 9_000_000);
    await clock.advance(2 ** 31);
    expect(etcd.leases()).toHaveLength(1);
    await clock.advance(9_000_000_000 - 2 ** 31);
    expect(etcd.leases()).toHaveLength(0);
  });
});

describe('pause and resume', () => {
  it('answers nothing while paused, and everything afterwards', async () => {
    const watch = await watchAll();
    etcd.pause();
    expect(etcd.status).toBe('paused');
    const late = put('late');
    const impatient = client.call('KV', 'Range', { key: b('a') });
    let answered = 0;
    void late.then(() => answered++);
    void impatient.then(() => answered++);
    // Something that must go round the event loop and the network many times over tells that nothing came.
    await using other = await EmbeddedEtcd.start();
    const busy = new RawEtcd(other.endpoint);
    for (let call = 0; call < 50; call++) await busy.ok('KV', 'Put', { key: b('x') });
    busy.close();
    expect([answered, etcd.keys(), watch.responses.length]).toEqual([0, [], 1]);
    etcd.resume();
    expect(etcd.status).toBe('running');
    await Promise.all([late, impatient]);
    await vi.waitFor(() => expect(eventKeys(watch)).toEqual([['late']]));
  });

  it('accepts connections while paused, says nothing to them, and serves them later', async () => {
    etcd.pause();
    const socket = connect(etcd.port, '127.0.0.1');
    await once(socket, 'connect');
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length));
    const newcomer = new RawEtcd(etcd.endpoint);
    const answer = newcomer.ok('KV', 'Put', { key: b('a') });
    const gaveUp = await codeOf(client.call('KV', 'Put', { key: b('b') }, 200));
    expect([gaveUp.code, bytes, etcd.keys()]).toEqual([status.DEADLINE_EXCEEDED, 0, []]);
    etcd.resume();
    await answer;
    // An HTTP/2 server speaks first: its settings.
    await vi.waitFor(() => expect(bytes).toBeGreaterThan(0));
    socket.destroy();
    newcomer.close();
  });

  it('keeps time: what ended meanwhile ends at resume, before late renewals', async () => {
    await grant('10', 5);
    await grant('20', 60);
    await put('a', '10');
    await put('b', '20');
    await client.keepAlive('10');
    etcd.pause();
    await clock.advance(10_000);
    const late = client.keepAlive('10');
    expect(etcd.keys()).toEqual(['a', 'b']);
    etcd.resume();
    expect(etcd.keys()).toEqual(['b']);
    expect(await late).toMatchObject({ answer: { TTL: '0' } });
    expect(etcd.leases()).toMatchObject([{ id: '20', remainingMs: 50_000 }]);
    await clock.advance(50_000);
    expect(etcd.keys()).toEqual([]);
  });

  it('does nothing twice, and nothing when stopped', async () => {
    etcd.resume();
    etcd.pause();
    etcd.pause();
    etcd.resume();
    await put('a');
    await etcd.stop();
    etcd.pause();
    expect(etcd.status).toBe('stopped');
  });
});

describe('restart', () => {
  it('drops every connection and keeps data, port and revision; watches begin anew', async () => {
    await put('a');
    const watch = await watchAll();
    const { port } = etcd;
    await etcd.restart();
    await vi.waitFor(() => expect(watch.responses.at(-1)).toMatchObject({ code: status.UNAVAILABLE }));
    expect([etcd.port, etcd.keys(), etcd.revision]).toEqual([port, ['a'], 2]);
    const answer = (await eventually(() => client.ok('KV', 'Range', { key: b('a') }))) as {
      header: Message;
      count: string;
    };
    expect(answer).toMatchObject({ count: '1', header: { revision: '2', raft_term: '3' } });
  });

  it('gives every lease its full time again, and lets none end while it is down', async () => {
    await grant('10', 5);
    await put('a', '10');
    await clock.advance(4_000);
    const restarted = etcd.restart({ downMs: 20_000 });
    await vi.waitFor(() => expect(etcd.status).toBe('stopped'));
    await vi.waitFor(async () => expect(await codeOf(get('a'))).toMatchObject({ code: status.UNAVAILABLE }));
    await clock.advance(19_999);
    expect([etcd.status, etcd.keys()]).toEqual(['stopped', ['a']]);
    await clock.advance(1);
    await restarted;
    expect(etcd.leases()).toMatchObject([{ id: '10', remainingMs: 5_000 }]);
    await clock.advance(5_000);
    expect(etcd.keys()).toEqual([]);
  });

  it('holds the process while it waits to come back, and no longer', async () => {
    // Timers that hold the process; those of the fake clock are none.
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const before = timers();
    const restarted = etcd.restart({ downMs: 1_000 });
    while (clock.pending === 0) await turn();
    expect(timers()).toBe(before + 1);
    await clock.advance(1_000);
    await restarted;
    expect(timers()).toBe(before);
  });

  it('works out of a pause, as a kill works on a stopped process', async () => {
    await put('a');
    etcd.pause();
    await etcd.restart();
    expect(etcd.status).toBe('running');
    await eventually(() => put('b'));
    expect(etcd.keys()).toEqual(['a', 'b']);
  });

  it('is stop and start; both can be had alone, in any number', async () => {
    await etcd.stop();
    await etcd.stop();
    expect(etcd.status).toBe('stopped');
    await Promise.all([etcd.start(), etcd.start()]);
    expect(etcd.status).toBe('running');
    await eventually(() => put('a'));
  });
});

describe('compact', () => {
  it('forgets the past up to now, or up to a revision', async () => {
    for (const key of ['a', 'a', 'a', 'a']) await put(key);
    const at = async (revision: number) => (await codeOf(client.call('KV', 'Range', { key: b('a'), revision }))).code;
    etcd.compact(3);
    expect([await at(2), await at(3)]).toEqual([status.OUT_OF_RANGE, undefined]);
    etcd.compact();
    expect([await at(4), await at(5)]).toEqual([status.OUT_OF_RANGE, undefined]);
    expect(() => etcd.compact()).toThrow('required revision has been compacted');
    expect(() => etcd.compact(100)).toThrow('future revision');
  });
});

describe('wipe', () => {
  it('is a new etcd on the same port: no keys, no leases, revision 1, the same ids', async () => {
    await grant('10', 60);
    await put('a', '10');
    const before = await client.ok('KV', 'Put', { key: b('a'), lease: '10' });
    const watch = await watchAll();
    etcd.compact();
    const { port } = etcd;
    await etcd.wipe();
    await vi.waitFor(() => expect(watch.responses.at(-1)).toMatchObject({ code: status.UNAVAILABLE }));
    expect([etcd.status, etcd.port, etcd.keys(), etcd.leases(), etcd.revision]).toEqual(['running', port, [], [], 1]);
    const after = await eventually(() => put('b'));
    expect(revisionOf(after)).toBe(2);
    const ids = ({ header }: Message) => {
      const { cluster_id, member_id } = header as Message;
      return { cluster_id, member_id };
    };
    expect(ids(after)).toEqual(ids(before));
    expect(await client.call('KV', 'Range', { key: b('a'), revision: 1 })).toMatchObject({ answer: { count: '0' } });
    expect(clock.pending).toBe(0);
  });

  it('leaves a stopped one stopped', async () => {
    await put('a');
    await etcd.stop();
    await etcd.wipe();
    expect([etcd.status, etcd.keys()]).toEqual(['stopped', []]);
  });
});

describe('close', () => {
  it('gives the port back, and leaves no timer and no connection', async () => {
    await grant('10', 60);
    const watch = await watchAll();
    const { port } = etcd;
    await Promise.all([etcd.close(), etcd.close()]);
    await etcd.close();
    expect([etcd.status, clock.pending]).toEqual(['closed', 0]);
    await vi.waitFor(() => expect(watch.responses.at(-1)).toMatchObject({ code: status.UNAVAILABLE }));
    const taken = createServer();
    await new Promise<void>((resolve, reject) => taken.once('error', reject).listen(port, '127.0.0.1', resolve));
    taken.close();
  });

  it('ends a restart that is still waiting', async () => {
    const restarted = etcd.restart({ downMs: 3_600_000 });
    await vi.waitFor(() => expect(etcd.status).toBe('stopped'));
    await etcd.close();
    await restarted;
    expect(etcd.status).toBe('closed');
  });

  it('is for good', async () => {
    await etcd.close();
    await etcd.start();
    expect(etcd.status).toBe('closed');
  });
});

describe('ten thousand keys', () => {
  it('are written, listed page by page, and taken by their lease', async () => {
    await grant('10', 60);
    const count = 10_000;
    const keys = Array.from({ length: count }, (_, index) => `many/${String((index * 7919) % count).padStart(5, '0')}`);
    for (let start = 0; start < count; start += 100) {
      const success = keys
        .slice(start, start + 100)
        .map((key) => ({ request_put: { key: b(key), value: b('v'), lease: '10' } }));
      await client.ok('KV', 'Txn', { success });
    }
    expect(etcd.keys()).toEqual(keys.toSorted());
    const {
      kvs,
      more,
      count: total,
    } = await client.ok('KV', 'Range', {
      key: b('many/05000'),
      range_end: b('many0'),
      limit: 10,
    });
    expect((kvs as Message[]).map(({ key }) => String(key))).toEqual(keys.toSorted().slice(5_000, 5_010));
    expect([more, total]).toEqual([true, '5000']);
    const watch = await watchAll();
    etcd.expireLease('10');
    await vi.waitFor(() => expect(eventKeys(watch)[0]).toHaveLength(count));
    expect(etcd.keys()).toEqual([]);
  });
});
