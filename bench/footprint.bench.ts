import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { DiscoveryService, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { eventually } from '../test/support/child-process.js';
import { EtcdServer } from '../test/support/etcd-server.js';
import { RawEtcd } from '../test/support/raw-etcd.js';
import type { Benchmark } from './support/benchmark.js';
import { EtcdMetrics, sum } from './support/etcd-metrics.js';

const SIZES = [1, 10, 100] as const;
const NAMESPACE = '/bench-footprint';
const TTL_MS = 2_000;
/** The library renews every third of the TTL, ±10 %. */
const BEAT_MS = TTL_MS / 3;

interface Row {
  readonly registrations: number;
  readonly watched: number;
  readonly leases: number;
  readonly watchStreams: number;
  /** Watches on those streams: one per own key, and prefix and plain key of each watched service. */
  readonly watchers: number;
  readonly keepAlivesPerBeat: number;
  /** While nothing happens: messages of every kind, and bytes. */
  readonly requestsPerSecond: number;
  readonly bytesPerSecond: { readonly toEtcd: number; readonly fromEtcd: number };
  /** Messages from the start until all is registered and watched, by method. */
  readonly startRequests: Readonly<Record<string, number>>;
}

const startApplication = async (endpoint: string, registrations: number) => {
  @Module({
    imports: [
      EtcdDiscoveryModule.forRoot({
        namespace: NAMESPACE,
        etcd: { endpoints: endpoint },
        registration: numbered('registered', registrations).map((name) => ({
          name,
          transport: 'tcp' as const,
          ttl: TTL_MS,
        })),
        shutdown: { propagationWait: 0 },
      }),
    ],
  })
  class AppModule {}
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    logger: false,
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
  });
  await app.listen();
  return app;
};

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}-${i}`);

/** Reads until `beats` renewals' time has passed, from one renewal to another, so that no part of a beat is counted. */
const watchBeats = async (endpoint: string, beats: number) => {
  const renewalAfter = (earlier: EtcdMetrics, notBefore: number) =>
    eventually('a renewal of the lease', async () => {
      const now = await EtcdMetrics.read(endpoint);
      return renewals(earlier, now) > 0 && now.at >= notBefore && now;
    });
  const first = await renewalAfter(await EtcdMetrics.read(endpoint), 0);
  // In the middle between two renewals, so that their jitter moves none of them across.
  let last = first;
  while (last.at - first.at < (beats - 0.5) * BEAT_MS) last = await renewalAfter(last, 0);
  return { first, last };
};

const renewals = (from: EtcdMetrics, to: EtcdMetrics): number => to.messagesSince(from).LeaseKeepAlive ?? 0;

const measureRow = async (
  etcd: EtcdServer,
  raw: RawEtcd,
  beats: number,
  size: Pick<Row, 'registrations' | 'watched'>,
): Promise<Row> => {
  const before = await EtcdMetrics.read(etcd.endpoint);
  const app = await startApplication(etcd.endpoint, size.registrations);
  try {
    await app.get(DiscoveryService).startWatch(numbered('watched', size.watched));
    const started = await EtcdMetrics.read(etcd.endpoint);
    const { first, last } = await watchBeats(etcd.endpoint, beats);
    const seconds = (last.at - first.at) / 1_000;
    const perSecond = (metric: string) => (last.value(metric) - first.value(metric)) / seconds;
    return {
      ...size,
      leases: (await raw.leases()).length,
      watchStreams: last.value('etcd_debugging_mvcc_watch_stream_total'),
      watchers: last.value('etcd_debugging_mvcc_watcher_total'),
      keepAlivesPerBeat: renewals(first, last) / ((last.at - first.at) / BEAT_MS),
      requestsPerSecond: sum(last.messagesSince(first)) / seconds,
      bytesPerSecond: {
        toEtcd: perSecond('etcd_network_client_grpc_received_bytes_total'),
        fromEtcd: perSecond('etcd_network_client_grpc_sent_bytes_total'),
      },
      startRequests: started.messagesSince(before),
    };
  } finally {
    await app.close();
    await eventually('nothing of it is left in etcd', async () => (await raw.leases()).length === 0);
  }
};

/** What one process costs etcd, counted by etcd itself, and that it does not grow with what the process does. */
export const footprintBenchmark: Benchmark = {
  name: 'footprint',
  summary:
    'leases, keepalives per beat and watch streams of one process, for 1 to 100 registrations and watches (1 each)',
  async run({ rounds, quick = false }) {
    const beats = rounds ?? (quick ? 3 : 8);
    const etcd = await EtcdServer.start();
    const raw = new RawEtcd(etcd.endpoint);
    const rows: Row[] = [];
    try {
      for (const service of numbered('watched', SIZES.at(-1)!)) {
        await raw.put(`${NAMESPACE}/${service}/a`, JSON.stringify({ Op: 0, Addr: '10.0.0.1:50051' }));
      }
      for (const registrations of SIZES) {
        for (const watched of SIZES) {
          const row = await measureRow(etcd, raw, beats, { registrations, watched });
          rows.push(row);
          console.log(
            `${registrations} registered, ${watched} watched: ${row.leases} lease, ${row.watchStreams} watch stream ` +
              `(${row.watchers} watches), ${row.keepAlivesPerBeat.toFixed(2)} keepalives per beat, ` +
              `${row.requestsPerSecond.toFixed(1)} requests/s, ${(row.bytesPerSecond.toEtcd + row.bytesPerSecond.fromEtcd).toFixed(0)} bytes/s; ` +
              `${sum(row.startRequests)} requests at the start`,
          );
        }
      }
    } finally {
      raw.close();
      await etcd.stop();
    }
    const most = (of: (row: Row) => number) => Math.max(...rows.map(of));
    const load = most((row) => row.requestsPerSecond) / Math.min(...rows.map((row) => row.requestsPerSecond));
    return {
      name: 'footprint',
      goals: [
        { what: 'leases', figure: most((row) => row.leases), goal: 1, unit: '', atMost: true },
        { what: 'watch streams', figure: most((row) => row.watchStreams), goal: 1, unit: '', atMost: true },
        // The beat itself is TTL/3 ±10 %.
        {
          what: 'keepalives per beat',
          figure: most((row) => row.keepAlivesPerBeat),
          goal: 1.1,
          unit: '',
          atMost: true,
        },
        { what: 'idle requests/s, most against least', figure: load, goal: 1.5, unit: '', atMost: true },
      ],
      details: { ttlMs: TTL_MS, beats, rows },
    };
  },
};
