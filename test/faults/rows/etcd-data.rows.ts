import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually } from '../../support/child-process.js';
import { EtcdServer, type EtcdServerOptions } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { FaultRow } from '../support/fault-row.js';
import { Fleet, TestApplication, cacheEqualsEtcd } from '../support/fleet.js';
import type { RowContext } from '../support/row-context.js';
import { TestServer } from '../support/test-server.js';
import { allBack, kept, keysUnderLeases, lostAndBack, underLoad } from '../support/under-load.js';

const run = promisify(execFile);
const MEGABYTE = 'x'.repeat(2 ** 20);

const startEtcd = async (row: RowContext, options?: EtcdServerOptions) => {
  const etcd = row.defer(await EtcdServer.start(options), (server) => server.stop());
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  return { etcd, raw };
};

/** Writes until etcd refuses. Returns how many values it took. */
const fillUp = async (row: RowContext, etcd: EtcdServer): Promise<number> => {
  // A client of its own: etcd3's circuit breaker refuses everything after a refusal.
  const raw = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
  for (let n = 0; n < 1_000; n++) {
    const refused = await raw.put(`/filler/${n % 4}`, MEGABYTE).then(
      () => false,
      () => true,
    );
    if (refused) return n;
  }
  throw new Error('etcd took a gigabyte and was not full');
};

/** Faults of what etcd stores, and of where. */
export const etcdDataRows: readonly FaultRow[] = [
  {
    id: '26',
    title:
      'NOSPACE: existing registrations live, deregister works, new ones say why they wait and heal ≤ 5 s after disarm',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row, { args: ['--quota-backend-bytes', '16777216'] });
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const server = await TestServer.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      const leaving = server.registry.register({ name: 'leaving', ttl: row.ttlMs });
      await leaving.done;
      const before = (await keysUnderLeases(row, raw)).filter((key) => key.includes('/echo/'));
      const full = async () => {
        row.figure('values until it was full', await fillUp(row, etcd));
        await server.registry.deregister(leaving.id);
        const left = (await raw.keys(`${row.namespace}/leaving/`)).length;
        row.figure('keys left after deregister', left, '', { atMost: 0 });
        // Another process, which has no lease yet, and one that has.
        const fresh = await TestServer.start(row, { etcd: { endpoints: [etcd.endpoint] }, name: `${row.name}-fresh` });
        fresh.registry.register({ name: 'fresh', ttl: row.ttlMs });
        server.registry.register({ name: 'late', ttl: row.ttlMs });
        await Promise.all([
          fresh.reaches('fresh', /^waiting .*is full and refuses writes/),
          server.reaches('late', /^registering .*is full and refuses writes/),
        ]);
        await delay(1.3 * row.ttlMs);
        row.figure('keys kept while it was full', await kept(row, raw, before), '', { atLeast: before.length });
        await etcd.etcdctl('del', '--prefix', '/filler/');
        await raw.compact();
        await etcd.defrag();
        await etcd.etcdctl('alarm', 'disarm');
        const disarmedAt = performance.now();
        await Promise.all([fresh.reaches('fresh', /^registered/), server.reaches('late', /^registered/)]);
        row.figure('new ones registered after', performance.now() - disarmedAt, 'ms', { atMost: 5_000 });
      };
      await underLoad(row, fleet, full, { etcd: etcd.endpoint, lowest: 3 });
    },
  },
  {
    id: '27',
    title: 'CORRUPT alarm, and the connection lost besides: the last known state stays in use, no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row);
      const proxy = row.defer(await FaultProxy.start(etcd.endpoint), (open) => open.stop());
      const fleet = await Fleet.start(row, { etcd: proxy.endpoint, serverEtcd: etcd.endpoint });
      const server = await TestServer.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      const before = await keysUnderLeases(row, raw);
      const corrupt = async () => {
        const { header } = (await etcd.call('maintenance/status')) as { header: { member_id: string } };
        await etcd.call('maintenance/alarm', { action: 'ACTIVATE', memberID: header.member_id, alarm: 'CORRUPT' });
        const writer = row.defer(new RawEtcd(etcd.endpoint), (client) => client.close());
        const refused = await writer.put('/any', 'x').then(
          () => false,
          (error: Error) => /corrupt/i.test(error.message),
        );
        if (!refused) row.notInjectable('this etcd takes writes in spite of a CORRUPT alarm');
        proxy.reset();
        server.registry.register({ name: 'late', ttl: row.ttlMs });
        await server.reaches('late', /corrupt/i);
        await delay(1.3 * row.ttlMs);
        row.figure('keys kept meanwhile', await kept(row, raw, before), '', { atLeast: before.length });
        await etcd.call('maintenance/alarm', { action: 'DEACTIVATE', memberID: header.member_id, alarm: 'CORRUPT' });
        row.figure('a new one is registered after', await server.reaches('late', /^registered/), 'ms', {
          atMost: 5_000,
        });
      };
      await underLoad(row, fleet, corrupt, { etcd: etcd.endpoint, lowest: 3 });
    },
  },
  {
    id: '28',
    title: 'disk full: etcd dies, and is started again when there is room: the same leases go on, no call fails',
    takes: 'seconds',
    async run(row) {
      const dir = await smallDisk(row);
      const { etcd, raw } = await startEtcd(row, { dir: join(dir, 'etcd') });
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const before = await keysUnderLeases(row, raw);
      const fullDisk = async () => {
        const filler = join(dir, 'filler');
        await fillDisk(filler);
        for (let n = 0; etcd.running && n < 200; n++)
          await Promise.race([raw.put(`/filler/${n}`, MEGABYTE).catch(() => {}), delay(1_000)]);
        row.figure('etcd died', Number(!etcd.running), '', { atLeast: 1 });
        await delay(row.ttlMs);
        await rm(filler);
        await etcd.up();
      };
      await underLoad(row, fleet, fullDisk, { etcd: etcd.endpoint, lowest: 3 });
      row.figure('leases lost', before.length - (await kept(row, raw, before)), '', { atMost: 0 });
    },
  },
  {
    id: '29',
    title: 'restored from a snapshot, revisions go back: noticed at the first contact, what was dead goes ≤ T + 1 s',
    takes: 'seconds',
    async run(row) {
      // etcd adds one election timeout to every lease when it begins to lead, and looks for expired ones every 500 ms.
      const args = ['--heartbeat-interval', '20', '--election-timeout', '100'];
      const { etcd, raw } = await startEtcd(row, { args });
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const value = (version: string) =>
        JSON.stringify({ id: 'o', name: 'other', version, metadata: {}, endpoints: ['grpc://127.0.0.1:9'] });
      const shown = async () => (await fleet.discovery.getServiceList('other'))[0]?.version;
      const shows = (version: string) => eventually(`version ${version}`, async () => (await shown()) === version);
      await raw.put(`${row.namespace}/other/o`, value('1'));
      await etcd.snapshot();
      await raw.put(`${row.namespace}/other/o`, value('2'));
      await shows('2');
      const dead = fleet.servers[0]!;
      const deadKey = `${row.namespace}/echo/${fleet.idOf(dead)}`;
      dead.signal('SIGTERM');
      await dead.exit();
      await fleet.addServer();
      await fleet.allReady(3);
      // Revisions are used up, so that a watch resumed by revision would be deaf for as long.
      for (let n = 0; n < 50; n++) await raw.put(`/used/${n}`, 'x');
      const alive = await keysUnderLeases(row, raw);
      const restore = async () => {
        await etcd.kill();
        await etcd.restore();
        await etcd.up();
        const upAt = performance.now();
        const equal = cacheEqualsEtcd(row, fleet.discovery, etcd.endpoint);
        const older = shows('1').then(() => performance.now() - upAt);
        const revived = (await raw.keys(deadKey)).length;
        row.figure('dead keys revived', revived, '', { atLeast: 1 });
        row.figure('live ones all back after', await allBack(row, raw, alive), 'ms', { atMost: 2_000 });
        row.figure('equal again after', await equal, 'ms', { atMost: 3_000 });
        row.figure('older value shown after', await older, 'ms', { atMost: 3_000 });
        await eventually('the revived key is gone', async () => (await raw.keys(deadKey)).length === 0, 30_000);
        row.figure('revived keys gone after', performance.now() - upAt, 'ms', { atMost: row.ttlMs + 1_000 });
      };
      await underLoad(row, fleet, restore, { etcd: etcd.endpoint });
      row.figure('instances, of 3', fleet.following.size, '', { atLeast: 3, atMost: 3 });
    },
  },
  {
    id: '30',
    title: 'data directory wiped: no service becomes empty, every instance is back ≤ 2 s after etcd, no call fails',
    takes: 'seconds',
    async run(row) {
      const { etcd, raw } = await startEtcd(row);
      const fleet = await Fleet.start(row, { etcd: etcd.endpoint });
      const watcher = await TestApplication.start(row, { etcd: { endpoints: [etcd.endpoint] } });
      await watcher.discovery.getServiceList('echo');
      for (let n = 0; n < 50; n++) await raw.put(`/used/${n}`, 'x');
      const before = await keysUnderLeases(row, raw);
      const wipe = async () => {
        await etcd.kill();
        await etcd.wipe();
        await etcd.up();
        const { lost, backMs } = await lostAndBack(row, raw, before);
        row.figure('keys lost', lost, '', { atLeast: before.length });
        row.figure('all back after', backMs, 'ms', { atMost: 2_000 });
      };
      await underLoad(row, fleet, wipe, { etcd: etcd.endpoint });
      const equal = await cacheEqualsEtcd(row, watcher.discovery, etcd.endpoint);
      row.figure('a client without connections: cache equals etcd after', equal, 'ms', { atMost: 3_000 });
    },
  },
];

/** A file system of its own that is soon full; needs root. */
const smallDisk = async (row: RowContext): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'etcd-discovery-disk-'));
  row.defer(dir, (path) => rm(path, { recursive: true, force: true }));
  // Twice etcd's write-ahead log of 64 MB, which it lays out in advance, and room for the database to begin with.
  await run('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'etcd-discovery-test', dir]).catch((error: Error) =>
    row.notInjectable(`a file system of its own cannot be mounted: ${error.message.split('\n')[0]}`),
  );
  // Etcd is stopped by then: what was started later is undone first.
  return row.defer(dir, (path) => run('umount', ['-l', path]));
};

const fillDisk = async (path: string): Promise<void> => {
  const file = await open(path, 'w');
  const block = Buffer.alloc(2 ** 16);
  try {
    for (;;) await file.write(block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
};
