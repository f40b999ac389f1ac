import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { FakeEtcd } from '../../test/support/fake-etcd.js';
import type { EtcdKeyValue } from '../etcd/etcd-client.js';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { silentLog } from '../utils/log.js';
import { ListWatch, type ListWatchSink } from './list-watch.js';

const RANGE = { key: '/services/s/', rangeEnd: '/services/s0' };

const world = (sink: Partial<ListWatchSink<EtcdKeyValue>>) => {
  const clock = new FakeClock();
  const etcd = new FakeEtcd(clock);
  etcd.put('/services/s/a', 'x');
  const watch: ListWatch<EtcdKeyValue> = new ListWatch(
    { etcd, clock, random: () => 0.5, log: silentLog },
    's',
    [RANGE],
    {
      read: (kv) => kv,
      known: () => undefined,
      listed: () => {},
      changed: () => {},
      healthChanged: () => {},
      ...sink,
    },
  );
  return { clock, etcd, watch };
};

/** The next lists are overtaken by a compaction, until the watch is opened before the list. */
const overtakeLists = (etcd: FakeEtcd) => {
  const range = etcd.range.bind(etcd);
  let left = 3;
  etcd.range = (request, options) =>
    left-- > 0
      ? Promise.reject(new EtcdRequestError('compacted', 'required revision has been compacted'))
      : range(request, options);
};

describe('a list that is passed on little by little', () => {
  it('is not followed by another before it is over, although its watch has ended meanwhile', async () => {
    const story: string[] = [];
    let over!: () => void;
    const { clock, etcd, watch } = world({
      listed: (_items, revision) => {
        story.push(`list ${revision}`);
        return new Promise((resolve) => (over = resolve));
      },
      changed: () => story.push('change'),
    });
    overtakeLists(etcd);
    watch.start();
    await clock.advance(2_000);
    expect(story).toEqual(['list 2']);
    etcd.put('/services/s/b', 'x');
    etcd.endWatches({ reason: 'error', error: new Error('reset') });
    await clock.advance(5_000);
    expect(story).toEqual(['list 2']);
    over();
    await clock.advance(5_000);
    expect(story).toEqual(['list 2', 'list 3']);
    watch.stop();
    over();
    await clock.advance(5_000);
    expect(clock.pending).toBe(0);
  });
});

describe('who hears that the list is there', () => {
  it('and stops it, is not given the list any more', async () => {
    let lists = 0;
    const { clock, watch } = world({
      listed: () => void lists++,
      healthChanged: ({ state }) => state === 'live' && watch.stop(),
    });
    watch.start();
    await clock.advance(1_000);
    expect(watch.health.state).toBe('live');
    expect(lists).toBe(0);
    expect(clock.pending).toBe(0);
  });
});
