import type { EtcdClient } from '../etcd/etcd-client.js';
import { assertValidName } from '../instance/names.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import { staticInstances } from '../instance/static-instance.js';
import type { ResolvedDiscoveryOptions } from '../options/resolved-options.js';
import { systemClock, type Clock, type Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { Turns } from '../utils/turns.js';
import { noConnections, tcpProbe, type ConnectionCheck, type Probe } from './connection-check.js';
import { KeyReader, type AcceptInstance } from './key-reader.js';
import { Listeners } from './listeners.js';
import { NamespaceWatch } from './namespace-watch.js';
import { NamespaceShare } from './namespace-share.js';
import type {
  NamespaceSubscription,
  ServiceCatalog,
  ServiceSnapshot,
  ServiceSubscription,
  WatchHealth,
} from './service-catalog.js';
import type { KeyChange, KnownKey } from './service-state.js';
import { ServiceWatch, SILENCE_MS, type ServiceWatchDeps } from './service-watch.js';
import { SkippedValues } from './skipped-values.js';
import { SnapshotStore } from './snapshot-store.js';
import { StandInReport } from './stand-in-report.js';
import { closedError, Subscription } from './subscription.js';
import { SuspectChecks } from './suspect-checks.js';

export interface EtcdCatalogDeps {
  readonly etcd: EtcdClient;
  /** Starts with a slash and does not end with one. */
  readonly namespace: string;
  readonly options: ResolvedDiscoveryOptions;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log: Log;
  /** Refuses instances read from etcd; static ones are not asked about. */
  readonly accept?: AcceptInstance;
  /** What the channels of this process know of instances that vanished from etcd. Default: there are no channels. */
  readonly connections?: ConnectionCheck;
  /** How a suspect without a ready channel is asked. Default: by a TCP connection. */
  readonly probe?: Probe;
  /** Of etcd: a snapshot file of another cluster is not used. */
  readonly endpoints?: readonly string[];
}

/** Keys of a list that are passed on in one turn of the event loop: 1 ms, and 5 ms in a process that has just started. */
const APPLIED_IN_A_TURN = 1_000;

interface Entry {
  readonly watch: ServiceWatch;
  readonly shares: Set<Subscription>;
}

/**
 * The read path over etcd. One watch per service and process, whatever the number of users, which ends with its last
 * user; while the namespace is watched, that watch serves all services, and those acquired before pass over to it.
 */
export class EtcdCatalog implements ServiceCatalog {
  private readonly deps: ServiceWatchDeps;
  private readonly fixed: ReadonlyMap<string, readonly ServiceInstance[]>;
  private readonly entries = new Map<string, Entry>();
  private readonly closing: Listeners<[]>;
  private readonly snapshotFile: SnapshotStore | undefined;
  private namespaceWatch: NamespaceWatch | undefined;
  private readonly namespaceShares = new Set<NamespaceShare>();
  /** Whose list is being passed on to the services; undefined between lists. */
  private listing: NamespaceWatch | undefined;
  private closed = false;
  /** Ends the wait for a namespace that etcd is silent about. */
  private cancelStandIn: (() => void) | undefined;

  constructor({ etcd, namespace, options, log, accept, endpoints = [], ...deps }: EtcdCatalogDeps) {
    const { plainKeys, suspectTimeoutMs, snapshotFile: path } = options;
    const { clock = systemClock, random = Math.random, connections = noConnections, probe = tcpProbe } = deps;
    const reader = new KeyReader(namespace, { plainKeys, accept });
    if (path !== undefined) this.snapshotFile = new SnapshotStore({ path, namespace, endpoints, reader, clock, log });
    this.deps = {
      etcd,
      clock,
      random,
      log,
      namespace,
      plainKeys,
      reader,
      skipped: new SkippedValues(clock, log),
      suspects: new SuspectChecks({ clock, random, connections, probe, timeoutMs: suspectTimeoutMs }),
      suspectTimeoutMs,
      lastKnown: this.snapshotFile,
      standInReady: this.snapshotFile?.loaded,
      standInReport: new StandInReport(clock, log),
    };
    this.fixed = new Map(
      Object.entries(options.static).map(([service, addresses]) => [service, staticInstances(service, addresses)]),
    );
    this.closing = new Listeners(log, 'the catalog');
  }

  /** Values found in etcd that could not be read, since the start. */
  get skippedValues(): number {
    return this.deps.skipped.total;
  }

  acquire(service: string): ServiceSubscription {
    if (this.closed) throw closedError();
    assertValidName('service name', service);
    const entry = this.entries.get(service) ?? this.open(service);
    const share = new Subscription(entry.watch, () => {
      entry.shares.delete(share);
      this.dropIfUnused(entry);
    });
    entry.shares.add(share);
    return share;
  }

  acquireNamespace(): NamespaceSubscription {
    if (this.closed) throw closedError();
    this.namespaceWatch ??= this.openNamespace();
    const share = new NamespaceShare(
      this.namespaceWatch,
      () => this.snapshots(),
      () => {
        this.namespaceShares.delete(share);
        if (this.namespaceShares.size === 0) this.closeNamespace();
      },
    );
    this.namespaceShares.add(share);
    return share;
  }

  peek(service: string): ServiceSnapshot | undefined {
    return this.entries.get(service)?.watch.snapshot;
  }

  onClose(listener: () => void): () => void {
    return this.closing.add(listener);
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    const error = closedError();
    this.namespaceWatch?.stop();
    for (const { watch } of this.entries.values()) watch.stopFeedingItself();
    for (const share of this.namespaceShares) share.end(error);
    for (const { shares } of this.entries.values()) for (const share of shares) share.end(error);
    for (const { watch } of this.entries.values()) watch.close();
    this.entries.clear();
    this.cancelStandIn?.();
    this.deps.skipped.close();
    this.deps.standInReport.close();
    this.closing.call();
    this.closing.clear();
    return this.snapshotFile?.close() ?? Promise.resolve();
  }

  private open(service: string): Entry {
    const entry = this.addEntry(service);
    const { watch } = entry;
    const { listedRevision, health } = this.namespaceWatch ?? {};
    if (listedRevision !== undefined && health?.state === 'live' && !this.listing) {
      // The namespace is watched and no key of the service has been seen: that is the list.
      watch.listed([], listedRevision);
      watch.healthChanged(health);
    } else {
      // A stale namespace cannot say that there is nothing: the service may have come since.
      watch.feedItself();
    }
    return entry;
  }

  private addEntry(service: string): Entry {
    const watch = new ServiceWatch(this.deps, service, this.fixed.get(service) ?? []);
    const entry: Entry = { watch, shares: new Set() };
    this.entries.set(service, entry);
    return entry;
  }

  private dropIfUnused({ watch, shares }: Entry): void {
    if (shares.size > 0) return;
    // A watch of the namespace keeps every service that has something to show, with or without users.
    // One that was left to its own watch goes on with it until the next list: what it has seen since, nobody else has.
    const listed = this.listing !== undefined || this.namespaceWatch?.listedRevision !== undefined;
    if (listed && (watch.feedsItself || isOfInterest(watch))) return;
    this.entries.delete(watch.service);
    watch.close();
  }

  private openNamespace(): NamespaceWatch {
    const watch: NamespaceWatch = new NamespaceWatch(this.deps, {
      known: (service, kv) => {
        const watch = this.entries.get(service)?.watch;
        // What its own watch knows has gaps of its own.
        return watch?.feedsItself ? undefined : watch?.known(kv);
      },
      listed: (...list) => this.namespaceListed(watch, ...list),
      changed: (services) => this.namespaceChanged(services),
      healthChanged: (health) => this.namespaceHealthChanged(health),
    });
    watch.start();
    if (this.snapshotFile) this.cancelStandIn = this.deps.clock.after(SILENCE_MS, () => this.showUnlisted(watch));
    return watch;
  }

  /** The namespace has not been listed: its services are those of the snapshot file, if there are any. */
  private showUnlisted(namespace: NamespaceWatch): void {
    this.cancelStandIn?.();
    if (namespace.listedRevision !== undefined || namespace.standsIn || !this.snapshotFile) return;
    const services = [...this.snapshotFile.services()];
    if (services.length === 0) return;
    for (const service of services) {
      const { watch } = this.entries.get(service) ?? this.addEntry(service);
      if (!watch.feedsItself) watch.showUnlisted();
    }
    namespace.standIn();
  }

  /** With turns of the event loop in between; the namespace's watch begins when this is over. */
  private async namespaceListed(
    namespace: NamespaceWatch,
    services: ReadonlyMap<string, readonly KnownKey[]>,
    revision: number,
    newestRevision: number,
  ): Promise<void> {
    this.cancelStandIn?.();
    const remembered = this.snapshotFile?.services() ?? [];
    const names = new Set([...services.keys(), ...this.fixed.keys(), ...this.entries.keys(), ...remembered]);
    const turns = new Turns(APPLIED_IN_A_TURN);
    this.listing = namespace;
    try {
      for (const service of names) {
        const keys = services.get(service) ?? [];
        const wait = turns.before(keys.length);
        if (wait) await wait;
        if (this.closed || this.namespaceWatch !== namespace) return;
        this.serviceListed(namespace, service, keys, revision, newestRevision);
      }
      // Those that somebody began to use meanwhile have no key in the list.
      const meanwhile = [...this.entries.keys()].filter((service) => !names.has(service));
      for (const service of meanwhile) this.serviceListed(namespace, service, [], revision, newestRevision);
    } finally {
      if (this.listing === namespace) this.listing = undefined;
    }
  }

  private serviceListed(
    namespace: NamespaceWatch,
    service: string,
    keys: readonly KnownKey[],
    revision: number,
    newestRevision: number,
  ): void {
    const entry = this.entries.get(service) ?? this.addEntry(service);
    const { watch } = entry;
    // Its own watch was faster than this list: taking the list would go back in time. It passes over with the next.
    if (watch.feedsItself && watch.revision > revision) return;
    watch.stopFeedingItself();
    watch.listed(keys, revision, newestRevision);
    // Whatever its own watch said last, or that it never had one: from here on the namespace's speaks for it.
    watch.healthChanged(namespace.health);
    this.dropIfUnused(entry);
  }

  private namespaceChanged(services: ReadonlyMap<string, readonly KeyChange[]>): void {
    for (const [service, changes] of services) {
      const entry = this.entries.get(service) ?? this.open(service);
      if (entry.watch.feedsItself) continue;
      entry.watch.changed(changes);
      this.dropIfUnused(entry);
    }
  }

  private namespaceHealthChanged(health: WatchHealth): void {
    if (this.namespaceWatch && health.state === 'pending' && health.error) this.showUnlisted(this.namespaceWatch);
    for (const { watch } of this.entries.values()) if (!watch.feedsItself) watch.healthChanged(health);
  }

  private closeNamespace(): void {
    this.namespaceWatch?.stop();
    this.namespaceWatch = this.listing = undefined;
    this.cancelStandIn?.();
    if (this.closed) return;
    for (const entry of this.entries.values()) {
      if (entry.shares.size > 0 && !entry.watch.feedsItself) entry.watch.feedItself();
      else this.dropIfUnused(entry);
    }
  }

  private snapshots(): ReadonlyMap<string, ServiceSnapshot> {
    const snapshots = new Map<string, ServiceSnapshot>();
    if (!this.namespaceWatch?.answers) return snapshots;
    for (const { watch } of this.entries.values()) {
      if (watch.snapshot && watch.snapshot.instances.length > 0) snapshots.set(watch.service, watch.snapshot);
    }
    return snapshots;
  }
}

const isOfInterest = (watch: ServiceWatch): boolean =>
  watch.hasKeys || (watch.snapshot !== undefined && watch.snapshot.instances.length > 0);
