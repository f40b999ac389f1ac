/**
 * Many real clients in one process, for the benchmark `herd`: each has its own connections to etcd and its own catalog
 * that watches five services. `HERD_JITTER=off` takes away the random source, and with it all jitter of gate and lists;
 * nothing else differs. Steered by its parent.
 */
import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { ServiceSubscription } from '../../src/catalog/service-catalog.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { silentLog } from '../../src/utils/log.js';
import { discoveryOptions } from '../support/catalog-world.js';
import { WATCHED_BY_EACH, servicesOf } from './herd-shape.js';

const { HERD_ETCD = '', HERD_NAMESPACE = '', HERD_CLIENTS = '1', HERD_FIRST = '0', HERD_JITTER = 'on' } = process.env;
const random = HERD_JITTER === 'off' ? () => 0 : Math.random;
const monotonicMs = () => Number(process.hrtime.bigint()) / 1e6;

/** One page of a list as this side saw it, moments on the machine's monotonic clock. */
interface Page {
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly keysOnly: boolean;
}

let pages: Page[] = [];
let usage = process.cpuUsage();
const shares: ServiceSubscription[] = [];

const open = (index: number): void => {
  const etcd = createEtcdClient({ endpoints: [HERD_ETCD], dialTimeoutMs: 5_000 }, { random });
  const range = etcd.range.bind(etcd);
  etcd.range = async (request, options) => {
    const sentAt = monotonicMs();
    const response = await range(request, options);
    // Lists only: the plain key beside each service, and single reads of what differs, are none.
    if (request.rangeEnd !== undefined)
      pages.push({ sentAt, answeredAt: monotonicMs(), keysOnly: request.keysOnly ?? false });
    return response;
  };
  const catalog = new EtcdCatalog({
    etcd,
    namespace: HERD_NAMESPACE,
    options: discoveryOptions(),
    random,
    log: silentLog,
  });
  for (const service of servicesOf(index)) shares.push(catalog.acquire(service));
};

const allLive = async (): Promise<void> => {
  await Promise.all(
    shares.map(
      (share) =>
        new Promise<void>((resolve) => {
          const off = share.onHealth(() => check());
          const check = () => {
            if (share.health.state !== 'live') return;
            off();
            resolve();
          };
          check();
        }),
    ),
  );
};

for (let index = 0; index < Number(HERD_CLIENTS); index++) {
  open(Number(HERD_FIRST) + index);
  // A crowd that starts all at once is not what is measured here.
  if (index % 10 === 9) await Promise.all(shares.map((share) => share.ready()));
}

process.on('message', ({ turn, command }: { turn: number; command: 'reset' | 'collect' }) => {
  if (command === 'reset') {
    pages = [];
    usage = process.cpuUsage();
    process.send?.({ event: `reset-${turn}` });
    return;
  }
  void allLive().then(() => {
    const instances = shares.map(({ snapshot }) => snapshot?.instances.length ?? 0);
    const { user, system } = process.cpuUsage(usage);
    process.send?.({
      event: `collected-${turn}`,
      pages,
      fewest: Math.min(...instances),
      cpuMs: (user + system) / 1_000,
    });
  });
});
process.on('disconnect', () => process.exit());
await allLive();
process.send?.({ event: 'started', watched: WATCHED_BY_EACH });
