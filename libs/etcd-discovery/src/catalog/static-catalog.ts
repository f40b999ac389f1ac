import { assertValidName } from '../instance/names.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import { staticInstances } from '../instance/static-instance.js';
import type { ResolvedDiscoveryOptions } from '../options/resolved-options.js';
import type { Log } from '../utils/log.js';
import { Listeners } from './listeners.js';
import type {
  NamespaceSubscription,
  ServiceCatalog,
  ServiceSnapshot,
  ServiceSubscription,
  SnapshotChange,
  WatchHealth,
} from './service-catalog.js';
import { showUnlisted, unknownService } from './service-state.js';
import { closedError, Subscription, type Shared } from './subscription.js';

/** The read path without etcd (`enabled: false`): the addresses of `discovery.static`, which never change. */
export class StaticCatalog implements ServiceCatalog {
  private readonly instances: ReadonlyMap<string, readonly ServiceInstance[]>;
  private readonly log: Log;
  private readonly health: WatchHealth = { state: 'live', since: new Date() };
  private readonly shares = new Set<Subscription>();
  private readonly closing: Listeners<[]>;
  private namespaceShares = 0;
  private closed = false;

  constructor({ options, log }: { options: ResolvedDiscoveryOptions; log: Log }) {
    this.log = log;
    this.closing = new Listeners(log, 'the catalog');
    this.instances = new Map(
      Object.entries(options.static).map(([service, addresses]) => [service, staticInstances(service, addresses)]),
    );
  }

  acquire(service: string): ServiceSubscription {
    if (this.closed) throw closedError();
    assertValidName('service name', service);
    const shared: Shared = {
      service,
      snapshot: this.snapshotOf(service),
      health: this.health,
      changes: new Listeners<[SnapshotChange]>(this.log, `service "${service}"`),
      healthChanges: new Listeners<[WatchHealth]>(this.log, `service "${service}"`),
    };
    const share = new Subscription(shared, () => this.shares.delete(share));
    this.shares.add(share);
    return share;
  }

  acquireNamespace(): NamespaceSubscription {
    if (this.closed) throw closedError();
    const snapshots = new Map([...this.instances.keys()].map((service) => [service, this.snapshotOf(service)]));
    let held = true;
    this.namespaceShares += 1;
    return {
      snapshots,
      health: this.health,
      onHealth: () => () => {},
      ready: () => (this.closed ? Promise.reject(closedError()) : Promise.resolve()),
      release: () => {
        if (held) this.namespaceShares -= 1;
        held = false;
      },
    };
  }

  peek(service: string): ServiceSnapshot | undefined {
    const watched = this.namespaceShares > 0 || [...this.shares].some((share) => share.service === service);
    return watched && !this.closed ? this.snapshotOf(service) : undefined;
  }

  onClose(listener: () => void): () => void {
    return this.closing.add(listener);
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    for (const share of this.shares) share.end(closedError());
    this.closing.call();
    this.closing.clear();
    return Promise.resolve();
  }

  private snapshotOf(service: string): ServiceSnapshot {
    const { snapshot } = showUnlisted(unknownService(service, this.instances.get(service))).state;
    return snapshot as ServiceSnapshot;
  }
}
