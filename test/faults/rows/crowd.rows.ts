import { RawEtcd as ScaleEtcd } from '../../../bench/scale/raw-etcd.js';
import { keyOf, valueOf } from '../../../bench/scale/records.js';
import { Respondent } from '../../../bench/support/questions.js';
import { eventually } from '../../support/child-process.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { Crowd } from '../support/crowd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Following, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';

const CHANGES_PER_SECOND = 500;
const MB = 1024 * 1024;

interface Followed {
  readonly blockMs: number;
  readonly ownBlockMs: number;
  readonly pushes: { readonly busiest: number };
}

/** How often something was told: the events of one push come without a pause, and pushes are 100 ms apart. */
const pushesOf = ({ told }: Following, from: number): number =>
  told.slice(from).filter(({ at }, index, all) => index === 0 || at - all[index - 1]!.at > 20).length;

/** Many instances at once. */
export const crowdRows: readonly FaultRow[] = [
  {
    id: '42',
    title: 'ten thousand instances change 500 times a second: the cache is right, pushes are held together',
    takes: 'seconds',
    timeoutMs: 240_000,
    async run(row) {
      const [instances, seconds] = row.quick ? [1_000, 8] : [10_000, 60];
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const scale = row.defer(new ScaleEtcd(etcd.endpoint), (open) => open.close());
      await scale.seed(
        (function* () {
          for (let i = 0; i < instances; i++) yield [keyOf(row.namespace, i), valueOf(i)] as const;
        })(),
      );
      const env = { SCALE_ETCD: etcd.endpoint, SCALE_NAMESPACE: row.namespace };
      const start = (program: string) =>
        row.defer(Respondent.start(`dist/bench/scale/${program}.js`, [], env), (open) => open.end());
      const [client, writer, control] = [start('library-client'), start('writer'), start('control')];
      const { instances: listed } = await client.ask<{ instances: number }>('sync');
      await client.ask('follow');
      await control.ask('start');
      const rssBefore = await client.ask<number>('rss');
      const order = { instances, perSecond: CHANGES_PER_SECOND, seconds };
      const wrote = await writer.ask<{ written: number; seconds: number; lastAt: number }>('write', order, 200_000);
      const { at } = await client.ask<{ at: number }>('settle');
      const rss = (await client.ask<number>('rss')) - rssBefore;
      const controlMs = await control.ask<number>('stop');
      const { blockMs, ownBlockMs, pushes } = await client.ask<Followed>('followed');
      row.figure('instances', listed, '', { atLeast: instances });
      row.figure('changes per second', wrote.written / wrote.seconds, '/s', { atLeast: 0.8 * CHANGES_PER_SECOND });
      row.figure('cache right after the last', at - wrote.lastAt, 'ms', { atMost: 2_000 });
      // The first push is not the end of an interval.
      row.figure('pushes of the busiest service', (pushes.busiest - 1) / wrote.seconds, '/s', {
        atMost: 10,
        atLeast: 1,
      });
      // The promise is about 10,000 instances; of 1,000 for a few seconds it is told, not judged.
      const bound = row.quick ? {} : { atMost: 20 };
      row.figure(
        'longest block of the event loop beyond a control loop',
        Math.max(0, blockMs - controlMs),
        'ms',
        bound,
      );
      // Told beside it: a busy process waits longer for its turn on shared cores than an idle control does.
      row.figure('longest block by its own work', ownBlockMs, 'ms');
      row.figure('resident memory more', rss / MB, 'MB', { atMost: 100 });
    },
  },
  {
    id: '43',
    title: 'a thousand instances crash at once: all are gone in time, told in batches',
    takes: 'seconds',
    async run(row) {
      const size = row.quick ? 200 : 1_000;
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const crowd = row.defer(new Crowd(etcd.endpoint, row.namespace, 'crowd'), (open) => open.close());
      const { discovery, log } = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      const following = new Following(discovery, crowd.service);
      await discovery.getServiceList(crowd.service);
      await crowd.register(size, row.ttlMs);
      await eventually('all are known', () => following.size === size);
      const lines = log.lines.length;
      const told = following.told.length;
      await crowd.renew();
      const crashedAt = performance.now();
      // etcd ends a thousand leases a second.
      const expiryMs = row.ttlMs + 1_000 + size;
      await eventually(
        'all are gone',
        () => following.size === 0,
        expiryMs + 20_000,
        () => `${following.size} are left`,
      );
      const events = following.told.slice(told);
      const [first, last] = [events[0]!.at, events.at(-1)!.at];
      const dead = events.filter(({ type }) => type === 'removed').length;
      row.figure('instances', size, '');
      row.figure('told as removed', dead, '', { atLeast: size, atMost: size });
      // Beyond the half they are suspects, whose addresses are asked: nobody listens there.
      row.figure('last one gone after', last - crashedAt, 'ms', { atMost: expiryMs + 2_000 });
      row.figure('from the first to the last', last - first, 'ms');
      row.figure('events per instance', events.length / size, '', { atMost: 2 });
      row.figure('pushes', pushesOf(following, told), '', { atMost: Math.ceil((last - first) / 100) + 2 });
      row.figure('log lines about them', log.lines.length - lines, '', { atMost: 10 });
      const ms = await cacheEqualsEtcd(row, discovery, etcd.endpoint, crowd.service);
      row.figure('cache equals etcd after', ms, 'ms', { atMost: 2_000 });
    },
  },
];
