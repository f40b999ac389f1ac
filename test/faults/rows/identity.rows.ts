import { setTimeout as delay } from 'node:timers/promises';
import { type TestProcess, eventually } from '../../support/child-process.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { freePort } from '../../support/free-port.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import { EtcdWatchRecord } from '../support/etcd-watch-record.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, cacheEqualsEtcd } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';

const ID = 'the-one';

const world = async (row: RowContext) => {
  const etcd = row.defer(await EtcdServer.start(), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  const fleet = await Fleet.start(row, { etcd: etcd.endpoint, servers: 2 });
  const key = `${row.namespace}/echo/${ID}`;
  const stored = async () => (await raw.keys(key))[0];
  const portOf = async () =>
    Number(/:(\d+)$/.exec(JSON.stringify((await stored())?.value.address ?? '').slice(0, -1))?.[1]);
  const history = row.defer(await EtcdWatchRecord.start(etcd.endpoint, key), (record) => record.stop());
  const noLeaseLeft = async (expected: number) => {
    await eventually('leases of those that left are gone', async () => (await raw.leases()).length <= expected, 20_000);
    row.figure('leases', (await raw.leases()).length, '', { atMost: expected, atLeast: expected });
  };
  const cacheIsRight = async () => {
    const ms = await cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint);
    row.figure('cache equals etcd after', ms, 'ms', { atMost: 2_000 });
  };
  return { etcd, raw, fleet, stored, portOf, history, noLeaseLeft, cacheIsRight };
};

const said = (server: TestProcess, state: string, reason: RegExp): boolean =>
  server.messages.some(
    ({ event, states }) =>
      event === 'states' &&
      (states as { state: string; reason?: string }[]).some((s) => s.state === state && reason.test(s.reason ?? '')),
  );

/** Who is who: one id twice, an id come back, and a stop that comes late. */
export const identityRows: readonly FaultRow[] = [
  {
    id: '44',
    title: 'two live processes with one id: the second waits and names the holder, and takes over when that one leaves',
    takes: 'seconds',
    async run(row) {
      const { fleet, portOf, history, noLeaseLeft, cacheIsRight } = await world(row);
      const first = await fleet.addServer({ APP_ID: ID });
      const held = await portOf();
      const load = fleet.load();
      const second = fleet.spawn({ APP_ID: ID });
      await eventually(
        'the second names the holder',
        () =>
          said(second, 'registering', new RegExp(`127\\.0\\.0\\.1:${held}`)) ||
          second.output.includes(`127.0.0.1:${held}`),
        20_000,
        () => second.output,
      );
      // Longer than the lease of a holder that is dead.
      await delay(1.3 * row.ttlMs);
      row.figure('still held by the first', (await portOf()) === held ? 1 : 0, '', { atLeast: 1 });
      row.figure('events at the key meanwhile', history.events.length, '', { atMost: 1, atLeast: 1 });
      first.signal('SIGTERM');
      const leftAt = performance.now();
      await eventually('the second has it', async () => Boolean(await portOf()) && (await portOf()) !== held, 15_000);
      row.figure('taken over after', performance.now() - leftAt, 'ms', { atMost: 2_000 });
      await first.exit();
      await delay(500);
      const { failures } = await load.stop();
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      await cacheIsRight();
      await noLeaseLeft(3);
    },
  },
  {
    id: '45',
    title: 'kill -9 and a start with the same id and address before the lease ends: taken over at once, and it stays',
    takes: 'seconds',
    async run(row) {
      const { fleet, stored, noLeaseLeft, cacheIsRight } = await world(row);
      const port = await freePort();
      const old = await fleet.addServer({ APP_ID: ID, APP_PORT: String(port) });
      const oldLease = (await stored())?.lease;
      await fleet.allReady(3);
      old.signal('SIGKILL');
      await old.exit();
      const killedAt = performance.now();
      const next = fleet.spawn({ APP_ID: ID, APP_PORT: String(port) });
      // The port is bound moments before; what a process needs to start is not the registry's.
      await next.message('listening');
      row.figure('the start took', performance.now() - killedAt, 'ms', { atMost: row.ttlMs - 500 });
      const lease = (await stored())?.lease;
      row.figure('under a lease of its own when it listens', lease !== undefined && lease !== oldLease ? 1 : 0, '', {
        atLeast: 1,
      });
      await delay(1_000);
      const load = fleet.load();
      await delay(row.ttlMs + 1_500);
      row.figure('still there when the old lease has ended', (await stored())?.lease === lease ? 1 : 0, '', {
        atLeast: 1,
      });
      const { calls, failures, perInstance } = await load.stop();
      row.figure('calls', calls, '', { atLeast: 100 });
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      row.figure('served by the new one', perInstance.get(String(next.pid)) ?? 0, '', { atLeast: 1 });
      await cacheIsRight();
      await noLeaseLeft(3);
    },
  },
  {
    id: '46',
    title: 'the old process stops late, when a new one has its id: the key of the new one survives',
    takes: 'seconds',
    async run(row) {
      const { fleet, stored, portOf, noLeaseLeft, cacheIsRight } = await world(row);
      const old = await fleet.addServer({ APP_ID: ID });
      const oldPort = await portOf();
      old.signal('SIGSTOP');
      const next = fleet.spawn({ APP_ID: ID });
      await eventually(
        'the new one has the key',
        async () => Boolean(await portOf()) && (await portOf()) !== oldPort,
        row.ttlMs + 20_000,
        () => next.output,
      );
      const { lease } = (await stored())!;
      const load = fleet.load();
      old.signal('SIGTERM');
      old.signal('SIGCONT');
      await old.exit();
      await delay(1_000);
      row.figure('the new key survives', (await stored())?.lease === lease ? 1 : 0, '', { atLeast: 1 });
      const { failures } = await load.stop();
      row.figure('failed calls', failures.length, '', { atMost: 0 });
      await cacheIsRight();
      await noLeaseLeft(3);
    },
  },
];
