import { EtcdCatalog, type EtcdCatalogDeps } from '../../src/catalog/etcd-catalog.js';
import type { ServiceEvent, ServiceSnapshot, ServiceSubscription } from '../../src/catalog/service-catalog.js';
import { encodeInstance } from '../../src/instance/instance-record.js';
import type { ResolvedDiscoveryOptions } from '../../src/options/resolved-options.js';
import type { Log } from '../../src/utils/log.js';
import { FakeClock, seededRandom } from './fake-clock.js';
import { FakeEtcd } from './fake-etcd.js';
import { FakePeers } from './fake-peers.js';

export const discoveryOptions = (options: Partial<ResolvedDiscoveryOptions> = {}): ResolvedDiscoveryOptions => ({
  resolveTimeoutMs: 5_000,
  suspectTimeoutMs: 300_000,
  static: {},
  sources: [],
  plainKeys: true,
  ...options,
});

/** The value an instance of ours stores. */
export const stored = (
  service: string,
  id: string,
  { port = 8080, weight = 10, status = 'up' }: { port?: number; weight?: number; status?: 'up' | 'draining' } = {},
): string =>
  encodeInstance(
    {
      service,
      id,
      endpoints: [{ protocol: 'grpc', host: '10.0.0.7', port, secure: false }],
      weight,
      metadata: {},
      registeredAt: new Date(0),
    },
    status,
  );

export class RecordingLog implements Log {
  readonly lines: string[] = [];

  debug(message: string): void {
    this.lines.push(`debug ${message}`);
  }

  log(message: string): void {
    this.lines.push(`log ${message}`);
  }

  warn(message: string): void {
    this.lines.push(`warn ${message}`);
  }

  error(message: string): void {
    this.lines.push(`error ${message}`);
  }

  of(level: 'debug' | 'log' | 'warn' | 'error'): string[] {
    return this.lines.filter((line) => line.startsWith(`${level} `));
  }
}

/** A catalog over a fake etcd, on a fake clock; where nothing else is said, nobody listens behind the instances. */
export const catalogWorld = (deps: Partial<EtcdCatalogDeps> = {}) => {
  const clock = new FakeClock();
  const etcd = new FakeEtcd(clock);
  const log = new RecordingLog();
  const peers = new FakePeers();
  const catalog = new EtcdCatalog({
    etcd,
    namespace: '/services',
    connections: peers,
    probe: peers.probe,
    options: discoveryOptions(),
    clock,
    random: seededRandom(1),
    log,
    ...deps,
  });
  const up = (service: string, id: string, options?: { port?: number; weight?: number; status?: 'up' | 'draining' }) =>
    etcd.put(`/services/${service}/${id}`, stored(service, id, options));
  const down = (service: string, id: string) => etcd.delete(`/services/${service}/${id}`);
  return { clock, etcd, log, peers, catalog, up, down };
};

/** Everything a share tells, and the instances that its events alone lead to. */
export const follow = (share: ServiceSubscription) => {
  const events: ServiceEvent[] = [];
  const snapshots: ServiceSnapshot[] = [];
  const stop = share.onChange((change) => {
    events.push(...change.events);
    snapshots.push(change.snapshot);
  });
  const story = () => events.map(({ type, instance, reason }) => [type, instance.id, reason].filter(Boolean).join(' '));
  return { events, snapshots, story, stop };
};

export const idsOf = (snapshot: ServiceSnapshot | undefined): string[] | undefined =>
  snapshot?.instances.map(({ id }) => id);

/** Long enough for a list and the opening of the watches, far shorter than any timer of the catalog. */
export const MOMENT = 10;
/** The longest wait before a list after a lost connection, and the list. */
export const RESYNC = 1_500 + MOMENT;

/** A share in a service whose first list is complete, and what it has told. */
export const listed = async (world: ReturnType<typeof catalogWorld>, service = 's') => {
  const share = world.catalog.acquire(service);
  const story = follow(share);
  await world.clock.advance(MOMENT);
  return { share, ...story };
};
