import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { queryObjects } from 'node:v8';
import type { FaultRow } from '../support/fault-row.js';
import { aftermath, noFailures, world } from '../support/network-world.js';
import type { RowContext } from '../support/row-context.js';
import { type Ways, leasedKeys, timeUntil } from '../support/ways.js';

/** In quick mode too: a lease of 3 s does not outlive as many broken renewals as are made here. */
const TTL_MS = 10_000;

/** Resets the connections of these ways every 0.5 to 3 s, each at its own times, for `ms`. */
const storm = (ways: readonly Ways[], ms: number): Promise<unknown> => {
  const until = performance.now() + ms;
  return Promise.all(
    ways.map(async ({ first }) => {
      for (;;) {
        await delay(500 + Math.random() * 2_500);
        if (performance.now() >= until) return;
        first.reset();
      }
    }),
  );
};

/** Live objects of this process after a garbage collection, and listeners on what lives as long as the process does. */
const census = () => ({
  emitters: queryObjects(EventEmitter, { format: 'count' }),
  sockets: queryObjects(Socket, { format: 'count' }),
  signals: queryObjects(AbortSignal, { format: 'count' }),
  listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
});

const random = (bytes: number): Buffer => Buffer.from(Array.from({ length: bytes }, () => Math.random() * 256));

/** What arrives in place of an answer; the connection is broken afterwards, as its frames are. */
const damages: Record<string, (chunk: Buffer) => Buffer> = {
  'half of it, then a reset': (chunk) => chunk.subarray(0, chunk.length >> 1),
  'bytes by chance': (chunk) => random(chunk.length),
  'a frame longer than allowed': (chunk) => Buffer.concat([Buffer.alloc(3, 0xff), chunk.subarray(3)]),
  'a frame of garbage before it': (chunk) => Buffer.concat([random(64), chunk]),
};

/** Counts lists of the news that show something that never was in etcd: it always holds exactly one of them. */
const watchForPartialStates = (row: RowContext, list: () => Promise<readonly unknown[]>) => {
  const seen = { lists: 0, partial: 0, running: true };
  const loop = (async () => {
    while (seen.running) {
      const { length } = await list();
      seen.lists++;
      if (length !== 1) seen.partial++;
      await delay(5);
    }
  })();
  return row.defer(seen, async () => {
    seen.running = false;
    await loop;
  });
};

/** Connections that break, stall and lie, again and again. */
export const stormRows: readonly FaultRow[] = [
  {
    id: '16',
    title: 'a storm of resets: leases are kept, the cache is right, no reconnect in a hot loop, nothing piles up',
    takes: 'seconds',
    timeoutMs: 240_000,
    async run(row) {
      const at = await world(row, { ttlMs: TTL_MS });
      const { raw, news, fleet, client, all } = at;
      const before = await leasedKeys(row, raw);
      let warnings = 0;
      const warned = ({ name }: Error) => void (name === 'MaxListenersExceededWarning' && warnings++);
      row.defer(process.on('warning', warned), (self) => self.off('warning', warned));
      // Whatever is made once is made by now.
      await storm(all, 5_000);
      const first = census();
      const load = fleet.load();
      const churn = news.churn(5);
      const accepted = all.map((ways) => ways.accepted);
      const ms = row.quick ? 25_000 : 115_000;
      await storm(all, ms);
      const dials = all.map((ways, index) => ways.accepted - accepted[index]!);
      row.figure('reconnects per second of the busiest', (Math.max(...dials) / ms) * 1_000, '/s', { atMost: 2 });
      row.figure('reconnects per second of the client', ((client.accepted - accepted[0]!) / ms) * 1_000, '/s');
      await churn.stop();
      await aftermath(row, at, before);
      await noFailures(row, load);
      // What the last reset left behind is closed with the next beat.
      await timeUntil('three connections at most are left', () => client.first.open <= 3);
      const last = census();
      row.figure('sockets more', last.sockets - first.sockets, '', { atMost: 5 });
      row.figure('event emitters more', last.emitters - first.emitters, '', { atMost: 20 });
      row.figure('abort signals more', last.signals - first.signals, '', { atMost: 10 });
      row.figure('listeners of the process more', last.listeners - first.listeners, '', { atMost: 0 });
      row.figure('warnings of too many listeners', warnings, '', { atMost: 0 });
    },
  },
  {
    id: '18',
    title: 'nobody reads the watch, so etcd sees a window of zero: noticed by silence, read again over a new one',
    takes: 'seconds',
    async run(row) {
      const at = await world(row);
      const { raw, news, fleet, client } = at;
      await news.put(0, 3);
      const before = await leasedKeys(row, raw);
      const load = fleet.load();
      client.first.stopReading();
      const startedAt = performance.now();
      const { bytesDown } = client.first;
      // More than the windows of HTTP/2 and the buffers on the way hold.
      for (let round = 0; round < 20; round++) await news.put(0, 100, 900);
      await news.put(100, 101);
      row.figure('bytes that reached the client meanwhile', client.first.bytesDown - bytesDown, '', { atMost: 0 });
      await timeUntil('the client learns of the news', async () =>
        (await fleet.discovery.getServiceList(news.service)).some(({ id }) => id === 'n100'),
      );
      row.figure('read again after', performance.now() - startedAt, 'ms', { atMost: 8_000 });
      client.each((proxy) => proxy.pass());
      // And one that reads, but far too slowly for what is written: right as soon as it reads on.
      client.first.slowRead(20_000);
      for (let round = 0; round < 5; round++) await news.put(0, 100, 900);
      client.each((proxy) => proxy.pass());
      await news.put(101, 102);
      await aftermath(row, at, before);
      await noFailures(row, load);
    },
  },
  {
    id: '19',
    title: 'half answers and garbage in place of frames: the connection is dropped, no partial state is shown',
    takes: 'seconds',
    async run(row) {
      const at = await world(row, { ttlMs: TTL_MS });
      const { raw, news, fleet, client, all } = at;
      await news.put(0, 1);
      await timeUntil(
        'the news are known',
        async () => (await fleet.discovery.getServiceList(news.service)).length === 1,
      );
      const before = await leasedKeys(row, raw);
      const told = fleet.following.told.length;
      const load = fleet.load();
      const seen = watchForPartialStates(row, () => fleet.discovery.getServiceList(news.service));
      const accepted = client.accepted;
      const startedAt = performance.now();
      let damaged = 0;
      let newest = 0;
      const bursts = Array.from({ length: row.quick ? 1 : 3 }, () => Object.entries(damages)).flat();
      for (const [name, damage] of bursts) {
        const until = performance.now() + 2_500;
        while (performance.now() < until) {
          for (const { first } of all) {
            first.damage((chunk, direction) => {
              if (direction === 'up' || Math.random() > 0.2) return chunk;
              damaged++;
              if (name.endsWith('reset')) setImmediate(() => first.reset());
              return damage(chunk);
            });
          }
          await news.replace(newest, ++newest);
          await delay(100);
        }
        // An etcd that is not understood for a whole TTL is one that is away; time for one beat keeps the leases.
        if (!row.quick) {
          for (const ways of all) ways.each((proxy) => proxy.pass());
          await delay(TTL_MS / 3);
        }
      }
      const seconds = (performance.now() - startedAt) / 1_000;
      for (const ways of all) ways.each((proxy) => proxy.pass());
      row.figure('answers damaged', damaged, '', { atLeast: 5 });
      row.figure('reconnects per second of the client', (client.accepted - accepted) / seconds, '/s');
      // A frame announced larger than any leaves Node's HTTP/2 session deaf to all that follows: that is a watch in
      // silence, given up after 6 s, and its list comes up to 1.5 s later.
      await aftermath(row, at, before, 8_000);
      await noFailures(row, load);
      row.figure('lists read meanwhile', seen.lists, '', { atLeast: 100 });
      row.figure('lists with a partial state', seen.partial, '', { atMost: 0 });
      row.figure('lowest instance count', fleet.following.lowest(told), '', { atLeast: 3 });
    },
  },
];
