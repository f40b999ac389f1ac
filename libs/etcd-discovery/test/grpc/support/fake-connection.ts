import type { DiscoveryConnection } from '../../../src/catalog/connection-directory.js';
import type {
  NamespaceSubscription,
  ServiceCatalog,
  ServiceSnapshot,
  ServiceSubscription,
  SnapshotChange,
  WatchHealth,
} from '../../../src/catalog/service-catalog.js';
import { EtcdDiscoveryError } from '../../../src/etcd-discovery.errors.js';
import type { ServiceInstance } from '../../../src/instance/service-instance.js';
import { CLIENT_DEFAULTS } from '../../../src/options/defaults.js';
import type { ResolvedClientDefaults } from '../../../src/options/resolved-options.js';

let revision = 100;

/** An instance as the catalog would show it. */
export const instanceOf = (
  id: string,
  address: string,
  fields: Partial<Omit<ServiceInstance, 'id' | 'address'>> = {},
): ServiceInstance => {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at);
  const port = Number(address.slice(at + 1));
  const modRevision = ++revision;
  return {
    id,
    service: 'echo',
    address,
    host,
    port,
    endpoints: [{ protocol: 'grpc', host, port, secure: false }],
    weight: 10,
    metadata: {},
    status: 'up',
    suspect: false,
    format: 'native',
    createRevision: modRevision,
    modRevision,
    ...fields,
  };
};

/** A catalog whose snapshots a test sets by hand; it keeps the contract of `ServiceCatalog` otherwise. */
export class FakeCatalog implements ServiceCatalog {
  health: WatchHealth = { state: 'pending', since: new Date() };
  readonly acquired: string[] = [];
  open = 0;
  private closed = false;
  private readonly snapshots = new Map<string, ServiceSnapshot>();
  private readonly listeners = new Map<string, Set<(change: SnapshotChange) => void>>();
  private readonly healthListeners = new Set<(health: WatchHealth) => void>();
  private readonly closeListeners = new Set<() => void>();

  push(service: string, instances: readonly ServiceInstance[]): void {
    const snapshot = { service, revision: ++revision, instances };
    this.snapshots.set(service, snapshot);
    this.health = { state: 'live', since: new Date() };
    for (const listener of this.listeners.get(service) ?? []) listener({ snapshot, events: [] });
  }

  refuse(message: string): void {
    this.health = { state: 'pending', error: new Error(message), since: new Date() };
    for (const listener of this.healthListeners) listener(this.health);
  }

  acquire(service: string): ServiceSubscription {
    if (this.closed) throw new EtcdDiscoveryError('CLOSED', 'the catalog is closed');
    this.acquired.push(service);
    this.open++;
    let released = false;
    const ownListeners = new Set<() => void>();
    const current = { snapshot: () => this.peek(service), health: () => this.health };
    return {
      service,
      get snapshot() {
        return current.snapshot();
      },
      get health() {
        return current.health();
      },
      onChange: (listener) => {
        const member = (change: SnapshotChange) => listener(change);
        const set = this.listeners.get(service) ?? new Set();
        this.listeners.set(service, set.add(member));
        const remove = () => void set.delete(member);
        ownListeners.add(remove);
        return remove;
      },
      onHealth: (listener) => {
        const member = (health: WatchHealth) => listener(health);
        this.healthListeners.add(member);
        const remove = () => void this.healthListeners.delete(member);
        ownListeners.add(remove);
        return remove;
      },
      ready: () => Promise.reject(new Error('not used')),
      release: () => {
        if (released) return;
        released = true;
        this.open--;
        for (const remove of ownListeners) remove();
      },
    };
  }

  acquireNamespace(): NamespaceSubscription {
    throw new Error('not used');
  }

  peek(service: string): ServiceSnapshot | undefined {
    return this.snapshots.get(service);
  }

  onClose(listener: () => void): () => void {
    this.closeListeners.add(listener);
    return () => void this.closeListeners.delete(listener);
  }

  close(): Promise<void> {
    this.closed = true;
    for (const listener of this.closeListeners) listener();
    return Promise.resolve();
  }
}

export class FakeConnection implements DiscoveryConnection {
  readonly catalog = new FakeCatalog();
  resolveTimeoutMs = 5_000;
  defaults: Partial<ResolvedClientDefaults> = {};

  constructor(readonly name: string = 'default') {}

  clientDefaults(): ResolvedClientDefaults {
    return { ...CLIENT_DEFAULTS, ...this.defaults };
  }
}
