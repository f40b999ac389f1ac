import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess, eventually } from '../../support/child-process.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { UnansweredPort } from '../../support/unanswered-port.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';

/** What a round of `open-close-app` found, see there. */
interface Rounds {
  readonly cycles: number;
  readonly slowestMs: number;
  readonly failures: readonly string[];
  readonly resources: Readonly<Record<string, number>>;
  readonly heapBytes: number;
  readonly listeners: number;
}

/** The heap of a process grows for its first thousand cycles by what V8 compiles and keeps. */
const warmUpFor = (cycles: number): number => (cycles >= 10_000 ? 1_000 : Math.min(cycles, 50));

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** So many modules opened and closed in one process, in a state that `mode` names. */
const rounds = async (row: RowContext, endpoint: string, mode: string, warmUp: number, cycles: number) => {
  const app = row.defer(
    TestProcess.node('dist/test/fixtures/open-close-app.js', [mode], {
      APP_ETCD: endpoint,
      APP_NAMESPACE: row.namespace,
    }),
    (process) => process.dispose(),
  );
  const run = async (count: number, event: string) => {
    app.send({ cycles: count, event });
    return { ...(await app.message<Rounds & { event: string }>(event, 900_000)), descriptors: descriptorsOf(app.pid) };
  };
  await app.message('ready');
  const before = await run(warmUp, 'warm');
  const after = await run(cycles, 'measured');
  app.send({ leave: true });
  const { code } = await app.exit(10_000);
  return { before, after, code };
};

/** Faults of the process that runs the library, and of the code that uses it. */
export const processRows: readonly FaultRow[] = [
  {
    id: '58',
    title:
      'file descriptors exhausted while connections break: no crash, said in the log, and back when there are some',
    takes: 'seconds',
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      const proxy = row.defer(await FaultProxy.start(etcd.endpoint), (p) => p.stop());
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint, serverEtcd: proxy.endpoint });
      const load = fleet.load();
      const [server] = fleet.servers;
      const id = fleet.idOf(server!);
      // In this order, or it has a new connection in the place of the old one.
      proxy.cut();
      server!.send({ command: 'exhaust-files' });
      const { opened } = await server!.message<{ opened: number }>('exhaust-files');
      row.figure('descriptors taken', opened, '', { atLeast: 100 });
      proxy.pass();
      // Long enough that a lease which depends on the next attempt ends.
      await eventually(
        'its lease ends',
        async () => (await raw.keys(`${row.namespace}/echo/`)).every(({ key }) => !key.endsWith(id)),
        row.ttlMs + 8_000,
        () => server!.output,
      );
      row.figure('still running', server!.running ? 1 : 0, '', { atLeast: 1 });
      row.figure('says why', /EMFILE|too many open files|not reachable/i.test(server!.output) ? 1 : 0, '', {
        atLeast: 1,
      });
      server!.send({ command: 'release-files' });
      await server!.message('release-files');
      const releasedAt = performance.now();
      await eventually(
        'its key is back',
        async () => (await raw.keys(`${row.namespace}/echo/`)).some(({ key }) => key.endsWith(id)),
        15_000,
        () => server!.output,
      );
      row.figure('key back after', performance.now() - releasedAt, 'ms', { atMost: 3_000 });
      const { calls, failures } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint), 'ms', {
        atMost: 3_000,
      });
    },
  },
  {
    id: '60',
    title: 'modules opened and closed again and again, in every state: nothing is left open',
    takes: 'seconds',
    timeoutMs: 1_800_000,
    async run(row) {
      const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
      const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
      const frozen = row.defer(await FaultProxy.start(etcd.endpoint), (p) => p.stop());
      frozen.freeze();
      const unanswered = row.defer(await UnansweredPort.open(), (port) => port.close());
      const resetting = row.defer(await FaultProxy.start(etcd.endpoint), (p) => p.stop());
      resetting.refuse();
      const all = row.quick ? 150 : 10_000;
      const some = row.quick ? 10 : 100;
      const states: readonly (readonly [mode: string, endpoint: string, cycles: number])[] = [
        ['registered', etcd.endpoint, all],
        ['registering', etcd.endpoint, some],
        ['dialling', unanswered.endpoint, some],
        ['connecting', frozen.endpoint, some],
        ['refused', resetting.endpoint, some],
        ['watching', etcd.endpoint, some],
      ];
      for (const [mode, endpoint, cycles] of states) {
        const { before, after, code } = await rounds(row, endpoint, mode, warmUpFor(cycles), cycles);
        const grown = Object.entries(after.resources).map(([name, n]) => n - (before.resources[name] ?? 0));
        row.figure(`${mode}: cycles`, after.cycles, '', { atLeast: cycles });
        row.figure('failures', after.failures.length, '', { atMost: 0 });
        row.figure('handles more', Math.max(0, ...grown), '', { atMost: 0 });
        row.figure('descriptors more', after.descriptors - before.descriptors, '', { atMost: 0 });
        row.figure('listeners more', after.listeners - before.listeners, '', { atMost: 0 });
        row.figure('heap per cycle', (after.heapBytes - before.heapBytes) / after.cycles, 'B', {
          // A collector's noise, spread over the cycles.
          atMost: 512 + 2_000_000 / after.cycles,
        });
        row.figure('slowest close', after.slowestMs, 'ms', { atMost: 6_000 });
        row.figure('exit code', code ?? -1, '', { atMost: 0, atLeast: 0 });
        if (after.failures.length > 0) throw new Error(after.failures.slice(0, 3).join('\n'));
      }
      await delay(500);
      row.figure('leases left', (await raw.leases()).length, '', { atMost: 0 });
    },
  },
];
