import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';
import { instanceKey, servicePrefix } from '../../src/instance/instance-key.js';
import { silentLog } from '../../src/utils/log.js';
import { discoveryOptions, stored } from '../support/catalog-world.js';
import { seededRandom } from '../support/fake-clock.js';
import { SERVICES, serviceName, servicesOf } from './herd-shape.js';
import { type HerdCosts, SimulatedClient, SimulatedEtcd, type SimulatedList } from './simulated-etcd.js';
import { type Interval, SimulatedMachine } from './simulated-machine.js';
import { VirtualClock } from './virtual-clock.js';

const NAMESPACE = '/services';
/** Few, because ten thousand clients would keep a million of them; what a list costs is said by the costs. */
const INSTANCES = 2;

export interface HerdScenario {
  readonly clients: number;
  readonly jitter: boolean;
  /** How long etcd is away. */
  readonly downMs: number;
  /** How long it is watched afterwards. */
  readonly watchMs: number;
  readonly seed: number;
  readonly costs: HerdCosts;
  /** `shared`: clients and etcd on one machine of two cores, as in the real run; else etcd has two cores to itself. */
  readonly shared: boolean;
}

export interface HerdOutcome {
  /** After etcd came back; moments of virtual time, ms since then. */
  readonly lists: readonly SimulatedList[];
  readonly busy: readonly (Interval & { readonly bytes: number })[];
}

/** A restart of etcd as a crowd of clients meets it: real gates and real catalogs in virtual time, without sockets. */
export const simulateHerd = async (scenario: HerdScenario): Promise<HerdOutcome> => {
  const { clients, jitter, downMs, watchMs, seed, costs, shared } = scenario;
  const clock = new VirtualClock();
  const machine = new SimulatedMachine(clock, 2);
  const elsewhere = shared ? machine : new SimulatedMachine(clock, Infinity);
  const etcd = new SimulatedEtcd(clock, costs, machine, data());
  const random = seededRandom(seed);
  const catalogs = Array.from({ length: clients }, (_, index) => {
    const client = new SimulatedClient(etcd, elsewhere, jitter ? random : () => 0);
    const catalog = new EtcdCatalog({
      etcd: client,
      namespace: NAMESPACE,
      options: discoveryOptions(),
      clock,
      random: jitter ? random : () => 0,
      log: silentLog,
    });
    for (const service of servicesOf(index)) catalog.acquire(service);
    return { client, catalog };
  });
  // However long the crowd's first lists take, and then some: nobody is connecting when etcd goes away.
  await clock.advance(10_000 + clients * 2);
  etcd.stop();
  await clock.advance(downMs);
  const upAt = clock.now();
  etcd.start();
  await clock.advance(watchMs);
  await Promise.all(catalogs.map(({ catalog }) => catalog.close()));
  await Promise.all(catalogs.map(({ client }) => client.close()));
  return {
    lists: etcd.lists.filter(({ sentAt }) => sentAt >= upAt).map((list) => ({ ...list, sentAt: list.sentAt - upAt })),
    busy: etcd.busy
      .filter(({ from }) => from >= upAt)
      .map(({ from, to, bytes }) => ({ from: from - upAt, to: to - upAt, bytes })),
  };
};

const data = (): Map<string, EtcdKeyValue[]> =>
  new Map(
    Array.from({ length: SERVICES }, (_, index) => {
      const service = serviceName(index);
      const kvs = Array.from({ length: INSTANCES }, (_, instance) => ({
        key: instanceKey(NAMESPACE, service, `instance-${instance}`),
        value: Buffer.from(stored(service, `instance-${instance}`)),
        createRevision: 10 + index,
        modRevision: 10 + index,
        version: 1,
        lease: '7',
      }));
      return [servicePrefix(NAMESPACE, service), kvs] as const;
    }),
  );
