import { setTimeout as delay } from 'node:timers/promises';
import { TestProcess, eventually } from '../../support/child-process.js';
import { echoClient, say } from '../../support/echo-client.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { freePort } from '../../support/free-port.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';
import { kept, keysUnderLeases, lostAndBack, underLoad } from '../support/under-load.js';

const startEtcd = async (row: RowContext) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  return { etcd, raw };
};

/** Faults of the etcd process itself. */
export const etcdServerRows: readonly FaultRow[] = [
  {
    id: '9',
    title: 'etcd killed and started again later: the same leases go on, no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row);
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const before = await keysUnderLeases(row, raw);
      await underLoad(row, fleet, () => etcd.restart(2.5 * row.ttlMs), { etcd: etcd.endpoint, lowest: 3 });
      row.figure('keys under their lease of before', await kept(row, raw, before), '', { atLeast: before.length });
    },
  },
  {
    id: '10',
    title: 'etcd paused for longer than the TTL: every key expires at once, no call fails, all come back',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row);
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const before = await keysUnderLeases(row, raw);
      const pause = async () => {
        etcd.pause();
        await delay(1.5 * row.ttlMs);
        etcd.resume();
        const { lost, backMs } = await lostAndBack(row, raw, before);
        row.figure('keys that expired', lost, '', { atLeast: 1 });
        row.figure('all back after', backMs, 'ms', { atMost: 2_000 });
      };
      await underLoad(row, fleet, pause, { etcd: etcd.endpoint });
    },
  },
  {
    id: '22',
    title: 'etcd down at process start: without failFast it catches up ≤ 2 s, with failFast it ends ≤ 5 s and says why',
    takes: 'seconds',
    async run(row) {
      const port = await freePort();
      const endpoint = `127.0.0.1:${port}`;
      const strict = row.defer(
        TestProcess.node('dist/test/fixtures/fail-fast-app.js', [], { APP_ETCD: endpoint }),
        (app) => app.dispose(),
      );
      const startedAt = performance.now();
      const { code } = await strict.exit();
      row.figure('failFast: ends after', performance.now() - startedAt, 'ms', { atMost: 5_000 });
      row.figure('failFast: exit code', code ?? -1, '', { atLeast: 1 });
      const named = strict.output.includes(`ETCD_UNAVAILABLE`) && strict.output.includes(endpoint);
      row.figure('failFast: the reason is named', Number(named), '', { atLeast: 1 });

      const client = await TestApplication.start(row, {
        etcd: { endpoints: [endpoint] },
        services: { echo: { retryableMethods: ['echo.v1.Echo/Say'] } },
      });
      const stub = row.defer(echoClient(`etcd://${client.connection}/echo`), (open) => open.close());
      await firstCall(row, 'refusing etcd', stub, 1_000);
      await silentEtcd(row);

      const server = row.defer(
        TestProcess.node('dist/test/fixtures/lifecycle-app.js', ['micro'], {
          APP_ETCD: endpoint,
          APP_NAMESPACE: row.namespace,
          APP_TTL: `${row.ttlMs}ms`,
        }),
        (app) => app.dispose(),
      );
      await server.message('listening');
      await delay(row.ttlMs);
      const etcd = row.defer(await EtcdServer.start({ port }), (started) => started.stop());
      const upAt = performance.now();
      const raw = row.defer(new RawEtcd(etcd.endpoint), (open) => open.close());
      await Promise.all([
        eventually('the server is in etcd', async () => (await raw.keys(`${row.namespace}/`)).length === 1).then(() =>
          row.figure('registered after etcd came', performance.now() - upAt, 'ms', { atMost: 2_000 }),
        ),
        eventually('a call succeeds', () => say(stub, 'x', 0, 1_000).catch(() => undefined)).then(() =>
          row.figure('calls succeed after etcd came', performance.now() - upAt, 'ms', { atMost: 2_000 }),
        ),
      ]);
      row.figure('cache equals etcd after', await cacheEqualsEtcd(row, client.discovery, etcd.endpoint), 'ms', {
        atMost: 2_000,
      });
    },
  },
  {
    id: '25',
    title: 'defrag of a big database, which answers nobody meanwhile: leases go on, no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row);
      const megabytes = row.quick ? 64 : 256;
      const value = 'x'.repeat(2 ** 20);
      for (let i = 0; i < megabytes; i++) await raw.put(`/filler/${i}`, value);
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const before = await keysUnderLeases(row, raw);
      const defrag = async () => {
        const startedAt = performance.now();
        await etcd.defrag();
        row.figure('defrag', performance.now() - startedAt, 'ms');
      };
      await underLoad(row, fleet, defrag, { etcd: etcd.endpoint, lowest: 3 });
      row.figure('database', megabytes, 'MB');
      row.figure('keys under their lease of before', await kept(row, raw, before), '', { atLeast: before.length });
    },
  },
];

/** Notes how the first call to a service nobody ever resolved fails, and after what time. */
const firstCall = async (row: RowContext, of: string, stub: ReturnType<typeof echoClient>, atMost: number) => {
  const askedAt = performance.now();
  const failure = await say(stub, 'x', 0, 10_000).then(
    () => 'it succeeded',
    (error: Error) => error.message,
  );
  row.figure(`${of}: first call fails after`, performance.now() - askedAt, 'ms', { atMost });
  const named = /UNAVAILABLE/.test(failure) && /etcd/.test(failure);
  row.figure(`${of}: with the reason`, Number(named), '', { atLeast: 1 });
  if (!named) console.log(failure);
};

/** An etcd that accepts and says nothing: the call fails at the latest after `resolveTimeout`, 5 s. */
const silentEtcd = async (row: RowContext): Promise<void> => {
  const hole = row.defer(await FaultProxy.start('127.0.0.1:1'), (proxy) => proxy.stop());
  hole.freeze();
  const client = await TestApplication.start(row, { etcd: { endpoints: [hole.endpoint] } });
  const stub = row.defer(echoClient(`etcd://${client.connection}/echo`), (open) => open.close());
  await firstCall(row, 'silent etcd', stub, 5_500);
};
