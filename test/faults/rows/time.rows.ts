import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess, eventually } from '../../support/child-process.js';
import { EtcdRelay } from '../../support/etcd-relay.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FakeTime } from '../../support/fake-time.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import { noFailures } from '../support/network-world.js';
import type { RowContext } from '../support/row-context.js';
import { leasedKeys } from '../support/ways.js';

const TWO_HOURS_S = 7_200;
const SUSPENDED_S = 30;

interface Report {
  readonly at: number;
  readonly calls: number;
  readonly failures: readonly string[];
  readonly instances: readonly string[];
}

/** Clocks that can be moved, where that is possible. */
const fakeTime = async (row: RowContext, monotonicToo: boolean): Promise<FakeTime> => {
  try {
    return row.defer(await FakeTime.create({ monotonicToo }), (time) => time.remove());
  } catch (error) {
    return row.notInjectable(`libfaketime cannot be had: ${(error as Error).message.split('\n')[0]}`);
  }
};

/** Three servers whose clocks are moved by `time`, each behind a relay that counts, and a client on the true time. */
const world = async (row: RowContext, time: FakeTime) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const relay = async () => row.defer(await EtcdRelay.start(etcd.endpoint), (open) => open.stop());
  const fleet = await Fleet.start(row, { etcd: etcd.endpoint, servers: 0, env: time.env });
  const servers = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const way = await relay();
      return { way, process: await fleet.addServer({ APP_ETCD: way.endpoint }) };
    }),
  );
  await fleet.allReady(3);
  return { etcd, raw, relay, fleet, servers };
};

/** What a server said about its registration from the `from`-th message on, each state once per change. */
const statesOf = (server: TestProcess, from: number): string[] =>
  server.messages
    .slice(from)
    .filter(({ event }) => event === 'states')
    .map(({ states }) => (states as { state: string }[])[0]?.state ?? '')
    .filter((state, index, all) => state !== all[index - 1]);

const total = ({ calls }: EtcdRelay): number => [...calls.values()].reduce((sum, count) => sum + count, 0);

/** How far the clock of a server is off, s. */
const clockOf = async (server: TestProcess, weight: number): Promise<number> => {
  server.send({ command: 'update', weight });
  const { at } = await server.message<{ at: number }>(`updated-${weight}`);
  return (at - Date.now()) / 1_000;
};

/** Clocks that jump. */
export const timeRows: readonly FaultRow[] = [
  {
    id: '36',
    title: 'the wall clock of servers and of a client jumps two hours ahead, behind and back: nothing happens',
    takes: 'seconds',
    async run(row) {
      const time = await fakeTime(row, false);
      const { etcd, raw, relay, fleet, servers } = await world(row, time);
      const way = await relay();
      const caller = row.defer(
        TestProcess.node('dist/test/fixtures/caller-app.js', [], {
          APP_ETCD: way.endpoint,
          APP_NAMESPACE: row.namespace,
          ...time.env,
        }),
        (process) => process.dispose(),
      );
      await caller.message('calling');
      const before = await leasedKeys(row, raw);
      const said = servers.map(({ process }) => process.messages.length);
      const printed = [caller, ...fleet.servers].map(({ output }) => output.length);
      const told = fleet.following.told.length;
      const load = fleet.load();
      const relays = [way, ...servers.map((server) => server.way)];
      const window = async (): Promise<number> => {
        const begun = relays.reduce((sum, each) => sum + total(each), 0);
        await delay(row.quick ? 3_000 : 10_000);
        return relays.reduce((sum, each) => sum + total(each), 0) - begun;
      };
      const usual = await window();
      const jumped: number[] = [];
      const busy: number[] = [];
      for (const seconds of [TWO_HOURS_S, -TWO_HOURS_S, 0]) {
        await time.shift(seconds);
        busy.push(await window());
        caller.send({ command: 'report', name: String(seconds) });
        const { at } = await caller.message<Report>(`report-${seconds}`);
        jumped.push(Math.round((at - Date.now()) / 1_000));
      }
      row.figure('clock of the client, the furthest ahead', Math.max(...jumped), 's', { atLeast: TWO_HOURS_S - 10 });
      row.figure('and behind', Math.min(...jumped), 's', { atMost: 10 - TWO_HOURS_S });
      row.figure('requests of all processes before', usual, '');
      row.figure('in the same time after a jump, at most', Math.max(...busy), '', { atMost: 1.5 * usual + 5 });
      const { calls, failures, instances } = await caller.message<Report>('report-0');
      row.figure('calls of the client whose clock jumped', calls, '', { atLeast: 100 });
      row.figure('failed calls of it', failures.length, '', { atMost: 0 });
      row.figure('instances it knows', instances.length, '', { atLeast: 3, atMost: 3 });
      await noFailures(row, load);
      const states = servers.flatMap(({ process }, at) => statesOf(process, said[at]!));
      row.figure('changes of the state of a registration', states.length, '', { atMost: 0 });
      const news = [caller, ...fleet.servers].map(({ output }, at) => output.slice(printed[at]));
      row.figure('warnings in logs', news.filter((text) => /WARN|ERROR/.test(text)).length, '', { atMost: 0 });
      row.figure('events about the instances', fleet.following.told.length - told, '', { atMost: 0 });
      const after = await leasedKeys(row, raw);
      row.figure('keys under their lease of before', before.filter((key) => after.includes(key)).length, '', {
        atLeast: 3,
      });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
  {
    id: '37',
    title: 'every clock of the servers jumps 30 s ahead, as after a suspension: back at once, timers do not burst',
    takes: 'seconds',
    async run(row) {
      const time = await fakeTime(row, true);
      const { etcd, raw, fleet, servers } = await world(row, time);
      const before = await leasedKeys(row, raw);
      const load = fleet.load();
      const jumps = row.quick ? 2 : 4;
      const most = { renewals: 0, writes: 0, lost: 0, backMs: 0 };
      for (let jump = 1; jump <= jumps; jump++) {
        await delay(row.ttlMs / 2);
        const said = servers.map(({ process }) => process.messages.length);
        const renewals = servers.map(({ way }) => way.count('Lease/LeaseKeepAlive'));
        const writes = servers.map(({ way }) => way.count('KV/Txn'));
        const jumpedAt = performance.now();
        await time.shift(jump * SUSPENDED_S);
        // Before the next regular one is due: what is renewed by then was queued, or due in the moment of the jump.
        await delay(Math.min(1_000, (row.ttlMs / 3) * 0.8));
        for (const [at, { way }] of servers.entries()) {
          most.renewals = Math.max(most.renewals, way.count('Lease/LeaseKeepAlive') - renewals[at]!);
          most.writes = Math.max(most.writes, way.count('KV/Txn') - writes[at]!);
        }
        await eventually(
          'all are registered',
          () => servers.every(({ process }) => statesOf(process, 0).at(-1) === 'registered'),
          10_000,
        );
        const backs = servers.map(({ process }, at) => statesOf(process, said[at]!));
        most.lost = Math.max(most.lost, ...backs.map((all) => all.filter((state) => state === 'lost').length));
        most.backMs = Math.max(most.backMs, performance.now() - jumpedAt);
      }
      const ahead = await clockOf(servers[0]!.process, 33);
      row.figure('clock of a server ahead', ahead, 's', { atLeast: jumps * SUSPENDED_S - 10 });
      row.figure('renewals of a server in the second after a jump', most.renewals, '', { atMost: 2, atLeast: 1 });
      row.figure('writes', most.writes, '', { atMost: 1 });
      row.figure('times it said lost, per jump', most.lost, '', { atMost: 1 });
      row.figure('all registered after', most.backMs, 'ms', { atMost: 2_000 });
      const after = await leasedKeys(row, raw);
      row.figure('keys under their lease of before', before.filter((key) => after.includes(key)).length, '', {
        atLeast: 3,
      });
      const { calls, failures } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      // The deadline of a call that a server is at work on passes there with the jump.
      const overdue = failures.filter((text) => text.startsWith('DEADLINE_EXCEEDED')).length;
      row.figure('calls in flight whose deadline the jump passed, per jump', overdue / jumps, '', { atMost: 6 });
      row.figure('other failed calls', failures.length - overdue, '', { atMost: 0 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
];
