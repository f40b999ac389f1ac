import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventCount, watchSummary } from './support/comparable.js';
import { Pair } from './support/pair.js';
import type { Message, WatchCall } from './support/raw-etcd.js';

let pair: Pair;
let calls: [real: WatchCall, embedded: WatchCall];
beforeAll(async () => {
  pair = await Pair.start();
});
afterEach(() => calls.forEach((call) => call.cancel()));
afterAll(() => pair.stop());

const b = (text: string) => Buffer.from(text);
const put = (key: string, value = 'v', more: Message = {}) =>
  pair.same('KV', 'Put', { key: b(key), value: b(value), ...more });
const del = (key: string, end?: string) =>
  pair.same('KV', 'DeleteRange', { key: b(key), range_end: end === undefined ? end : b(end) });
const revision = () => pair.etcd.revision;

const open = async () => {
  calls = await pair.both(async (client) => client.watch());
};
const write = (request: Message) => calls.forEach((call) => call.write(request));
const watch = (key: string, more: Message = {}) =>
  write({ create_request: { key: b(key), range_end: b(`${key}~`), ...more } });
/** Waits until both have so many answers. */
const answers = (count: number) =>
  vi.waitFor(() => calls.forEach(({ responses }) => expect(responses.length).toBeGreaterThanOrEqual(count)), 10_000);
const events = (count: number) =>
  vi.waitFor(() => calls.forEach((call) => expect(eventCount(call)).toBeGreaterThanOrEqual(count)), 10_000);
const expectSame = () => {
  const [real, embedded] = calls.map((call) => watchSummary(call, { revision: 0 }));
  expect(embedded).toEqual(real);
  return embedded!;
};

describe('an embedded etcd beside a real one: watches', () => {
  it('tells of puts and deletes of a key, a range, and everything from a key on', async () => {
    await open();
    write({ create_request: { key: b('w1/a') } });
    watch('w1/');
    write({ create_request: { key: b('w1/b'), range_end: Buffer.from([0]) } });
    await answers(3);
    await put('w1/a', '1');
    await put('w1/b', '1');
    await put('w1/a', '2');
    await put('w2', '1');
    await del('w1/', 'w1~');
    await events(4 + 3 + 4);
    // No replay and no burst: even the answers are the same, one by one.
    const byWatch = calls.map(({ responses }) =>
      ['0', '1', '2'].map((id) =>
        responses.filter(({ watch_id }) => watch_id === id).map(({ events: found, created }) => ({ found, created })),
      ),
    );
    expect(byWatch[1]).toEqual(byWatch[0]);
  });

  it('adds the previous value only where it is asked for', async () => {
    await open();
    watch('p/', { prev_kv: true });
    watch('p/');
    await answers(2);
    await put('p/a', '1');
    await put('p/a', '2');
    await del('p/a');
    await put('p/a', '3');
    await events(8);
    expectSame();
  });

  it('leaves out what is filtered', async () => {
    await open();
    watch('f/', { filters: [0] });
    watch('f/', { filters: [1] });
    watch('f/', { filters: [0, 1] });
    watch('f/');
    await answers(4);
    await put('f/a');
    await del('f/a');
    await put('f/b');
    await events(1 + 2 + 3);
    expect(
      Object.entries(expectSame())
        .filter(([, { events: told }]) => told.length > 0)
        .map(([id]) => id),
    ).toEqual(['0', '1', '3']);
  });

  it('replays from a revision, and waits for one to come', async () => {
    const first = revision();
    for (const value of ['1', '2', '3']) await put('s/a', value);
    await del('s/a');
    await open();
    watch('s/', { start_revision: first + 2, prev_kv: true });
    watch('s/', { start_revision: first + 7 });
    watch('s/nothing', { start_revision: first });
    await events(3);
    for (const value of ['5', '6', '7']) await put('s/a', value);
    await events(6 + 1);
    expectSame();
    expect(eventCount(calls[1])).toBe(7);
  });

  it('replays many revisions in answers of at most 1000, in order', async () => {
    const first = revision();
    const requests = Array.from({ length: 2500 }, (_, index) => ({ key: b(`many/${index}`), value: b('v') }));
    for (const client of [pair.real, pair.embedded]) {
      for (const request of requests) await client.ok('KV', 'Put', request);
    }
    await open();
    watch('many/', { start_revision: first + 1 });
    await events(2500);
    expectSame();
    const sizes = calls.map(({ responses }) =>
      responses.slice(1).map((response) => (response.events as unknown[]).length),
    );
    expect(sizes[1]).toEqual(sizes[0]);
    expect(sizes[1]).toEqual([1000, 1000, 500]);
  });

  it('tells all changes of a transaction together', async () => {
    await open();
    watch('x/');
    await answers(1);
    await pair.same('KV', 'Txn', {
      success: ['a', 'b', 'c'].map((key) => ({ request_put: { key: b(`x/${key}`), value: b('1') } })),
    });
    await pair.same('KV', 'Txn', {
      success: [{ request_delete_range: { key: b('x/'), range_end: b('x/c') } }, { request_put: { key: b('x/c') } }],
    });
    await answers(3);
    expectSame();
    expect(calls[1].responses.slice(1).map((response) => (response.events as unknown[]).length)).toEqual([3, 3]);
  });

  it('gives ids as etcd does, and refuses one that is taken', async () => {
    await open();
    watch('i/');
    watch('i/', { watch_id: '2' });
    watch('i/', { watch_id: '1' });
    watch('i/');
    watch('i/', { watch_id: '2' });
    watch('i/');
    write({ create_request: { key: b('i/b'), range_end: b('i/a') } });
    write({ create_request: { key: b('i/b'), range_end: b('i/b') } });
    write({ create_request: {} });
    await answers(9);
    expectSame();
  });

  it('cancels once, and says nothing about what is not there', async () => {
    await open();
    watch('cancel/', { watch_id: '5' });
    await answers(1);
    write({ cancel_request: { watch_id: '9' } });
    write({ cancel_request: { watch_id: '5' } });
    write({ cancel_request: { watch_id: '5' } });
    await answers(2);
    await put('cancel/a');
    watch('cancel/', { watch_id: '5' });
    await answers(3);
    expectSame();
  });

  it('answers a progress request with where it stands', async () => {
    await open();
    watch('progress/');
    await answers(1);
    write({ progress_request: {} });
    await answers(2);
    expectSame();
    expect(calls[1].responses[1]).toMatchObject({ watch_id: '-1', header: { revision: String(revision()) } });
  });

  it('ends a watch that needs what is compacted, and says how far', async () => {
    const first = revision();
    for (const value of ['1', '2', '3', '4']) await put('compact/a', value);
    await put('compact/b');
    await del('compact/b');
    await pair.same('KV', 'Compact', { revision: first + 3, physical: true });
    await open();
    watch('compact/', { start_revision: first + 2 });
    await answers(2);
    // Its id stays taken, and can be cancelled.
    watch('compact/', { watch_id: '0', start_revision: first + 3, prev_kv: true });
    watch('compact/', { start_revision: first + 4, prev_kv: true });
    await events(4 + 3);
    write({ cancel_request: { watch_id: '0' } });
    await answers(6 + 1);
    expectSame();
    expect(calls[1].responses[1]).toMatchObject({ canceled: true, compact_revision: String(first + 3) });
  });

  it('does not replay a delete at the compacted revision itself', async () => {
    await put('tomb/a');
    await put('tomb/b');
    await del('tomb/a');
    const at = revision();
    await pair.same('KV', 'Compact', { revision: at, physical: true });
    await put('tomb/c');
    await open();
    watch('tomb/', { start_revision: at });
    await events(1);
    expectSame();
  });

  it('splits what is too large for one answer where that is asked for', async () => {
    const first = revision();
    for (const key of ['1', '2', '3', '4', '5']) await put(`large/${key}`, 'x'.repeat(900_000));
    await open();
    watch('large/', { start_revision: first + 1, fragment: true });
    watch('large/', { start_revision: first + 1 });
    await events(10);
    const shape = calls.map(({ responses }) =>
      ['0', '1'].map((id) =>
        responses
          .filter(({ watch_id, created }) => watch_id === id && !created)
          .map(({ fragment, events: found }) => ({
            fragment,
            keys: (found as Message[]).map(({ kv }) => String((kv as Message).key)),
          })),
      ),
    );
    expect(shape[1]).toEqual(shape[0]);
    expect(shape[1]![0]!.map(({ fragment }) => fragment)).toEqual([true, true, false]);
    expect(shape[1]![1]!.map(({ fragment }) => fragment)).toEqual([false]);
  });

  it('goes on when the client has said all it had to say', async () => {
    await open();
    watch('bye/');
    await answers(1);
    calls.forEach((call) => call.end());
    await put('bye/a');
    await events(1);
    expectSame();
  });
});
