import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/support/fake-clock.js';
import { WatchRecorder } from '../../test/etcd/watch-recorder.js';
import { silentLog } from '../utils/log.js';
import type { WatchEvent } from './etcd-client.js';
import { EtcdRequestError } from './etcd-status.js';
import { WatchMultiplexer } from './watch-multiplexer.js';
import type { OpenedWatchStream, WatchMessage, WatchStreamListener } from './watch-transport.js';

const header = { clusterId: '1', memberId: '1', revision: 100, raftTerm: 1 };
const message = (over: Partial<WatchMessage>): WatchMessage => ({
  header,
  watchId: -1,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: '',
  fragment: false,
  events: [],
  ...over,
});
const put = (key: string, modRevision: number): WatchEvent => ({
  type: 'put',
  key,
  value: Buffer.alloc(0),
  createRevision: modRevision,
  modRevision,
  version: 1,
  lease: '0',
});

/** A server's end of a watch stream, turned by hand. */
class Stream implements OpenedWatchStream {
  readonly endpoint = 'etcd:2379';
  readonly creates: { id: number; key: string; startRevision: number }[] = [];
  readonly cancels: number[] = [];
  progressRequests = 0;
  destroyed: boolean[] = [];
  tokensRefused = 0;

  constructor(readonly listener: WatchStreamListener) {}

  create(id: number, { key }: { key: string }, startRevision: number): void {
    this.creates.push({ id, key, startRevision });
  }
  cancel(id: number): void {
    this.cancels.push(id);
  }
  requestProgress(): void {
    this.progressRequests++;
  }
  destroy(broken: boolean): void {
    this.destroyed.push(broken);
  }
  tokenRefused(): void {
    this.tokensRefused++;
  }
  say(over: Partial<WatchMessage>): void {
    this.listener.message(message(over));
  }
}

describe('watches on a shared stream', () => {
  let clock: FakeClock;
  /** How long the event loop slept while timers stood still. */
  let asleepMs: number;
  /** How much too early timers fire: Node's may, by less than a millisecond. */
  let earlyMs: number;
  let streams: Stream[];
  let refusal: Error | undefined;
  let hold: Promise<void> | undefined;
  let watches: WatchMultiplexer;

  beforeEach(() => {
    clock = new FakeClock();
    streams = [];
    refusal = undefined;
    hold = undefined;
    asleepMs = 0;
    earlyMs = 0;
    watches = new WatchMultiplexer({
      clock: { now: () => clock.now() + asleepMs, after: (ms, fn) => clock.after(ms - earlyMs, fn) },
      log: silentLog,
      open: async (listener) => {
        await hold;
        if (refusal) throw refusal;
        const stream = new Stream(listener);
        streams.push(stream);
        return stream;
      },
    });
  });

  const watch = (key: string, startRevision = 1) => {
    const recorder = new WatchRecorder();
    const handle = watches.watch({ key, rangeEnd: `${key}~`, startRevision }, recorder);
    return { recorder, handle };
  };
  const pass = (ms: number) => clock.advance(ms);

  it('are created with ids of their own, those that came while it was opening included', async () => {
    watch('a', 5);
    watch('b', 6);
    await settle();
    watch('c', 7);
    expect(streams).toHaveLength(1);
    expect(streams[0]!.creates).toEqual([
      { id: 1, key: 'a', startRevision: 5 },
      { id: 2, key: 'b', startRevision: 6 },
      { id: 3, key: 'c', startRevision: 7 },
    ]);
  });

  it('get what is theirs', async () => {
    const [a, b] = [watch('a'), watch('b')];
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, created: true });
    stream.say({ watchId: 2, created: true });
    stream.say({ watchId: 2, events: [put('b1', 2), put('b2', 2)] });
    stream.say({ watchId: 1, events: [put('a1', 3)] });
    expect(a.recorder.seen).toEqual(['put a1']);
    expect(b.recorder.batches).toHaveLength(1);
    expect(b.recorder.seen).toEqual(['put b1', 'put b2']);
  });

  it('get a revision in one piece, however it was cut', async () => {
    const { recorder } = watch('a');
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, fragment: true, events: [put('a1', 2), put('a2', 3)] });
    expect(recorder.seen).toEqual(['put a1']);
    stream.say({ watchId: 1, fragment: true, events: [put('a3', 3)] });
    stream.say({ watchId: 1, fragment: true, events: [put('a4', 3), put('a5', 4)] });
    stream.say({ watchId: 1, fragment: false, events: [put('a6', 4)] });
    expect(recorder.batches.map((batch) => batch.map(({ key }) => key))).toEqual([
      ['a1'],
      ['a2', 'a3', 'a4'],
      ['a5', 'a6'],
    ]);
  });

  it('do not get an event twice, nor one from before their start', async () => {
    const { recorder } = watch('a', 10);
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, events: [put('old', 9), put('a1', 10)] });
    stream.say({ watchId: 1, events: [put('a1', 10), put('a2', 11)] });
    stream.say({ watchId: 1, events: [put('a1', 10)] });
    expect(recorder.seen).toEqual(['put a1', 'put a2']);
  });

  it('end alone when refused, compacted or canceled', async () => {
    const [a, b, c, d] = [watch('a'), watch('b'), watch('c'), watch('d')];
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, created: true });
    stream.say({ watchId: 2, created: true, canceled: true, cancelReason: 'etcdserver: permission denied' });
    stream.say({ watchId: 3, created: true });
    stream.say({ watchId: 3, canceled: true, compactRevision: 77 });
    stream.say({ watchId: 4, created: true });
    stream.say({ watchId: 4, canceled: true });
    expect(a.recorder.ends).toEqual([]);
    expect(b.recorder.ends).toMatchObject([{ reason: 'canceled', error: { failure: 'permission-denied' } }]);
    expect(c.recorder.ends).toEqual([{ reason: 'compacted', compactRevision: 77 }]);
    expect(d.recorder.ends).toMatchObject([{ reason: 'canceled' }]);
    expect(stream.destroyed).toEqual([]);
  });

  it('recognise a refusal without an id as that of the oldest unanswered create', async () => {
    const [a, b, c] = [watch('a'), watch('b'), watch('c')];
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, created: true });
    stream.say({ watchId: -1, created: true, canceled: true, cancelReason: 'etcdserver: permission denied' });
    stream.say({ watchId: 3, created: true });
    expect([a, b, c].map(({ recorder }) => recorder.ends.length)).toEqual([0, 1, 0]);
    expect([a, b, c].map(({ recorder }) => recorder.createdAt.length)).toEqual([1, 0, 1]);
  });

  it('are canceled at the server when they are closed, and never heard of again', async () => {
    const [a, b] = [watch('a'), watch('b')];
    await settle();
    const stream = streams[0]!;
    a.handle.close();
    a.handle.close();
    stream.say({ watchId: 1, created: true });
    stream.say({ watchId: 1, events: [put('a1', 2)] });
    stream.say({ watchId: 1, canceled: true });
    stream.say({ watchId: 2, created: true });
    expect(stream.cancels).toEqual([1]);
    expect([a.recorder.createdAt, a.recorder.seen, a.recorder.ends]).toEqual([[], [], []]);
    expect(b.recorder.createdAt).toHaveLength(1);
  });

  it('close the stream with the last of them, and the next opens another', async () => {
    const { handle } = watch('a');
    await settle();
    handle.close();
    expect(streams[0]!.destroyed).toEqual([false]);
    watch('b');
    await settle();
    expect(streams).toHaveLength(2);
    expect(clock.pending).toBe(1);
  });

  it('do not leave a stream behind that opens when everyone is gone', async () => {
    let release: () => void = () => undefined;
    hold = new Promise((resolve) => (release = resolve));
    watch('a').handle.close();
    release();
    await settle();
    await settle();
    expect(streams[0]!.destroyed).toEqual([false]);
    expect(clock.pending).toBe(0);
  });

  it('all end with the stream, once', async () => {
    const [a, b] = [watch('a'), watch('b')];
    await settle();
    const error = new EtcdRequestError('unreachable', 'gone');
    streams[0]!.listener.end(error);
    streams[0]!.listener.end(error);
    for (const { recorder } of [a, b]) expect(recorder.ends).toEqual([{ reason: 'error', error }]);
  });

  it('all end when the stream cannot be opened', async () => {
    refusal = new EtcdRequestError('unreachable', 'refused');
    const [a, b] = [watch('a'), watch('b')];
    expect(a.recorder.ends).toEqual([]);
    await settle();
    for (const { recorder } of [a, b]) expect(recorder.ends).toEqual([{ reason: 'error', error: refusal }]);
  });

  it('end when an event comes that newer ones have overtaken, and take repetitions for what they are', async () => {
    const [a, b] = [watch('a', 5), watch('b', 5)];
    await settle();
    const stream = streams[0]!;
    for (const watchId of [1, 2]) stream.say({ watchId, created: true });
    stream.say({ watchId: 1, events: [put('a1', 6), put('a2', 9)] });
    stream.say({ watchId: 1, events: [put('a1', 6), put('a2', 9)] });
    // From before the list, and of a revision that was complete: nothing new.
    stream.say({ watchId: 1, events: [put('a0', 3), put('a2', 9), put('a3', 10)] });
    expect(a.recorder.seen).toEqual(['put a1', 'put a2', 'put a3']);
    stream.say({ watchId: 1, events: [put('a9', 8), put('a4', 11)] });
    expect(a.recorder.seen).toHaveLength(3);
    expect(a.recorder.ends).toMatchObject([{ reason: 'error', error: { failure: 'refused' } }]);
    expect(stream.cancels).toEqual([1]);
    stream.say({ watchId: 2, events: [put('b1', 8)] });
    expect(b.recorder).toMatchObject({ seen: ['put b1'], ends: [] });
  });

  it('end likewise when the newer ones came in the same message, or are not handed on yet', async () => {
    const [a, b] = [watch('a', 5), watch('b', 5)];
    await settle();
    const stream = streams[0]!;
    for (const watchId of [1, 2]) stream.say({ watchId, created: true });
    stream.say({ watchId: 1, events: [put('a2', 9), put('a1', 6)] });
    stream.say({ watchId: 2, fragment: true, events: [put('b2', 9)] });
    stream.say({ watchId: 2, events: [put('b1', 6)] });
    for (const { recorder } of [a, b]) {
      expect(recorder).toMatchObject({ seen: [], ends: [{ reason: 'error', error: { failure: 'refused' } }] });
    }
  });

  it('remember enough revisions for any repetition, and not all there ever were', async () => {
    const { recorder } = watch('a', 1);
    await settle();
    for (let n = 1; n <= 3_000; n++) streams[0]!.say({ watchId: 1, events: [put(`a${n}`, n)] });
    for (const n of [1, 1_999, 2_500, 3_000]) streams[0]!.say({ watchId: 1, events: [put(`a${n}`, n)] });
    expect(recorder.seen).toHaveLength(3_000);
    expect(recorder.ends).toEqual([]);
  });

  it('end as silent when a sign of life was asked for and did not come', async () => {
    const { recorder } = watch('a');
    await settle();
    streams[0]!.say({ watchId: 1, created: true });
    await pass(3_000);
    expect(streams[0]!.progressRequests).toBe(1);
    await pass(2_900);
    expect(recorder.ends).toEqual([]);
    await pass(200);
    expect(recorder.ends).toMatchObject([{ reason: 'silent', error: { failure: 'unreachable' } }]);
    // The connection is not to be used for the next stream.
    expect(streams[0]!.destroyed).toEqual([true]);
    expect(clock.pending).toBe(0);
  });

  it('have half a second to show that they outlived an outage', async () => {
    const { recorder } = watch('a');
    await settle();
    streams[0]!.say({ watchId: 1, created: true });
    await pass(500);
    watches.prove();
    expect(streams[0]!.progressRequests).toBe(1);
    await pass(400);
    streams[0]!.say({ watchId: -1 });
    await pass(500);
    expect(recorder.ends).toEqual([]);
    watches.prove();
    await pass(510);
    expect(recorder.ends).toMatchObject([{ reason: 'silent' }]);
    expect(streams[0]!.destroyed).toEqual([true]);
    expect(clock.pending).toBe(0);
  });

  it('end as silent no later though timers fire a little early', async () => {
    earlyMs = 0.4;
    const { recorder } = watch('a');
    await settle();
    streams[0]!.say({ watchId: 1, created: true });
    await pass(6_001);
    expect(recorder.ends).toMatchObject([{ reason: 'silent' }]);
  });

  it('live as long as the server answers, and ask nothing while there is traffic', async () => {
    const { recorder } = watch('a');
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, created: true });
    for (let n = 0; n < 20; n++) {
      await pass(2_000);
      stream.say({ watchId: 1, events: [put(`a${n}`, n + 2)] });
    }
    expect(stream.progressRequests).toBe(0);
    for (let n = 0; n < 10; n++) {
      await pass(3_000);
      stream.say({});
    }
    expect(stream.progressRequests).toBe(10);
    expect(recorder.ends).toEqual([]);
  });

  it('are not ended for a silence in which the event loop itself was asleep', async () => {
    const { recorder } = watch('a');
    await settle();
    streams[0]!.say({ watchId: 1, created: true });
    await pass(3_000);
    asleepMs = 12_000;
    await pass(3_000);
    expect(recorder.ends).toEqual([]);
    streams[0]!.say({});
    await pass(5_900);
    expect(recorder.ends).toEqual([]);
    await pass(200);
    expect(recorder.ends).toMatchObject([{ reason: 'silent' }]);
  });

  it('end when the server answers everything but their creation', async () => {
    const { recorder } = watch('a');
    await settle();
    for (let n = 0; n < 6; n++) {
      await pass(3_000);
      streams[0]!.say({});
    }
    expect(recorder.ends).toMatchObject([{ reason: 'silent' }]);
  });

  it('move to a new stream with a new token when the old one has run out; those on the old one stay', async () => {
    const a = watch('a');
    await settle();
    streams[0]!.say({ watchId: 1, created: true });
    const b = watch('b');
    streams[0]!.say({ watchId: 2, created: true, canceled: true, cancelReason: 'etcdserver: invalid auth token' });
    expect(b.recorder.ends).toMatchObject([{ reason: 'canceled', error: { failure: 'auth' } }]);
    expect(streams[0]!.tokensRefused).toBe(1);

    const again = watch('b');
    await settle();
    expect(streams).toHaveLength(2);
    streams[1]!.say({ watchId: 1, created: true });
    streams[1]!.say({ watchId: 1, events: [put('b1', 2)] });
    streams[0]!.say({ watchId: 1, events: [put('a1', 3)] });
    expect([a.recorder.seen, again.recorder.seen]).toEqual([['put a1'], ['put b1']]);

    watches.close();
    expect([a, again].map(({ recorder }) => recorder.ends)).toEqual([[{ reason: 'closed' }], [{ reason: 'closed' }]]);
    expect(streams.map(({ destroyed }) => destroyed)).toEqual([[false], [false]]);
  });

  it('suffer nothing from an observer that throws', async () => {
    const bad = new WatchRecorder();
    bad.events = () => {
      throw new Error('mine');
    };
    watches.watch({ key: 'bad', startRevision: 1 }, bad);
    const good = watch('good');
    await settle();
    const stream = streams[0]!;
    stream.say({ watchId: 1, events: [put('x', 2)] });
    stream.say({ watchId: 2, events: [put('y', 3)] });
    expect(bad.ends).toMatchObject([{ reason: 'error' }]);
    expect(stream.cancels).toEqual([1]);
    expect(good.recorder.seen).toEqual(['put y']);
  });

  it('may be opened again from within their end', async () => {
    const second = new WatchRecorder();
    const first = new WatchRecorder();
    first.end = (end) => {
      first.ends.push(end);
      watches.watch({ key: 'a', startRevision: 1 }, second);
    };
    watches.watch({ key: 'a', startRevision: 1 }, first);
    await settle();
    streams[0]!.listener.end(new EtcdRequestError('unreachable', 'gone'));
    await settle();
    expect(streams).toHaveLength(2);
    streams[1]!.say({ watchId: 1, created: true });
    expect(second.createdAt).toHaveLength(1);
    expect(first.ends).toHaveLength(1);
  });
});
