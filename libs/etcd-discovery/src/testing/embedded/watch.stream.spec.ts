import { beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.js';
import type { WatchResponse } from './etcd.messages.js';
import { EtcdState } from './etcd.state.js';
import { WatchStream } from './watch.stream.js';

const INTERVAL_MS = 600_000;
let clock: FakeClock;
let state: EtcdState;
let sent: WatchResponse[];
let congested: boolean;
let stream: WatchStream;
beforeEach(() => {
  clock = new FakeClock();
  state = new EtcdState({ clusterId: '1', memberId: '2', raftTerm: 2 }, clock);
  sent = [];
  congested = false;
  stream = new WatchStream({
    state,
    clock,
    random: () => 0,
    progressNotifyIntervalMs: INTERVAL_MS,
    sink: {
      send: (response) => void sent.push(response),
      get congested() {
        return congested;
      },
    },
  });
});

const create = (more = {}) =>
  stream.handle({
    create_request: {
      key: Buffer.from('a'),
      range_end: Buffer.from('b'),
      start_revision: '0',
      progress_notify: false,
      filters: [],
      prev_kv: false,
      watch_id: '0',
      fragment: false,
      ...more,
    },
  });
const put = (key: string) => state.kv.write((txn) => txn.put(Buffer.from(key), Buffer.alloc(0), '0'));
/** Each answer as [watch, revision of the header, revisions of its events]. */
const told = () =>
  sent
    .filter(({ created }) => !created)
    .map(({ watch_id, header, events }) => [
      watch_id,
      header.revision,
      (events ?? []).map(({ kv }) => kv.mod_revision),
    ]);

describe('a watch whose client reads slowly', () => {
  it('catches up from the log in few answers, and loses nothing', async () => {
    create();
    put('a1');
    congested = true;
    for (let count = 0; count < 5; count++) put('a2');
    expect(told()).toEqual([['0', 2, [2]]]);
    congested = false;
    stream.drained();
    put('a3');
    expect(told()).toEqual([
      ['0', 2, [2]],
      ['0', 7, [3, 4, 5, 6, 7]],
      ['0', 8, [8]],
    ]);
  });

  it('is cancelled when what it has missed is compacted', () => {
    create();
    congested = true;
    put('a1');
    put('a1');
    state.kv.compact(3);
    congested = false;
    stream.drained();
    expect(sent.at(-1)).toMatchObject({ watch_id: '0', canceled: true, compact_revision: 3, header: { revision: 0 } });
    put('a1');
    expect(told()).toHaveLength(1);
  });
});

describe('a watch that replays a long log', () => {
  it('gets it in parts, each in a turn of its own, and what comes meanwhile after it', async () => {
    for (let count = 0; count < 2_500; count++) put(count % 2 ? 'a' : 'x');
    create({ start_revision: '2' });
    const sizes = () => told().map(([, , revisions]) => (revisions as number[]).length);
    expect(sizes()).toEqual([1000]);
    put('a');
    await vi.waitFor(() => expect(sizes()).toEqual([1000, 251]));
    const revisions = told().flatMap(([, , part]) => part as number[]);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    put('a');
    expect(sizes()).toEqual([1000, 251, 1]);
  });
});

describe('progress notifications', () => {
  it('come to quiet watches that asked for them', async () => {
    create({ progress_notify: true });
    create();
    await clock.advance(INTERVAL_MS - 1);
    expect(told()).toEqual([]);
    await clock.advance(1);
    expect(told()).toEqual([['0', 1, []]]);
    put('x');
    await clock.advance(INTERVAL_MS);
    expect(told().at(-1)).toEqual(['0', 2, []]);
  });

  it('are left out after an event, once', async () => {
    create({ progress_notify: true });
    put('a');
    await clock.advance(INTERVAL_MS);
    expect(told()).toEqual([['0', 2, [2]]]);
    await clock.advance(INTERVAL_MS);
    expect(told()).toHaveLength(2);
  });

  it('stop with the stream', async () => {
    create({ progress_notify: true });
    stream.close();
    expect(clock.pending).toBe(0);
    put('a');
    expect(told()).toEqual([]);
  });
});
