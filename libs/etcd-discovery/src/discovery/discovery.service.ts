import { setMaxListeners } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { Observable } from 'rxjs';
import { balancers, type BalancerView } from '../balancing/balancer-directory.js';
import type { PolicyConfig } from '../balancing/picker.interface.js';
import type { DiscoveryConnection } from '../catalog/connection-directory.js';
import type {
  NamespaceSubscription,
  ServiceEvent,
  ServiceSnapshot,
  ServiceSubscription,
} from '../catalog/service-catalog.js';
import { closedError } from '../catalog/subscription.js';
import { EtcdDiscoveryError, ServiceUnavailableError } from '../etcd-discovery.errors.js';
import { etcdTarget } from '../grpc/resolver/etcd-target.js';
import { assertValidName } from '../instance/names.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import { systemClock, type Clock, type Random } from '../utils/clock.js';
import { holdProcess } from '../utils/hold-process.js';
import { dial, type DialedClient, type DialOptions, type GrpcClientClass } from './dial.js';
import { firstList } from './first-list.js';
import { KeptShares } from './kept-shares.js';
import { knownInstances, saidByEtcd } from './said-by-etcd.js';
import { serviceEvents } from './service-events.js';
import { waitForInstances } from './wait-for-instances.js';
import { weightedChoice } from './weighted-choice.js';

/** How long a watch opened by a question outlives the last question. */
const KEEP_MS = 60_000;
/** Node fires a timer of more than this at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface WaitForServiceOptions {
  /** Default: `discovery.resolveTimeout`. */
  readonly timeoutMs?: number;
  /** How many instances that are not suspect. Default 1. */
  readonly minInstances?: number;
  readonly signal?: AbortSignal;
}

/** What one process knows of a service and how it calls it, for people and tests. */
export interface ServiceDescription {
  readonly service: string;
  /** Undefined when the service is not watched, or was never listed. */
  readonly instances?: readonly ServiceInstance[];
  /**
   * Present while etcd has never listed the service and its instances come from `discovery.snapshotFile`: the file, and
   * when etcd last stood by them.
   */
  readonly standIn?: { readonly file: string; readonly asOf: Date };
  /** One per gRPC channel to the service: its policy and, by instance, connection state, calls in flight and picks. */
  readonly clients: readonly BalancerView[];
}

/**
 * The read path for applications: who serves what, now and from now on. Every method throws, or rejects with, INVALID_NAME
 * for a name that cannot be a service, and CLOSED once the application is shutting down.
 */
@Injectable()
export class DiscoveryService {
  private readonly closing = new AbortController();
  private readonly services: KeptShares<ServiceSubscription>;
  private readonly namespaces: KeptShares<NamespaceSubscription>;
  /** What `startWatch` holds until the end; the empty name stands for the namespace. */
  private readonly held = new Map<string, { release(): void }>();
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly offClose: () => void;

  constructor(
    private readonly connection: DiscoveryConnection,
    { clock = systemClock, random = Math.random }: { readonly clock?: Clock; readonly random?: Random } = {},
  ) {
    this.clock = clock;
    this.random = random;
    // Every open `watchService` and every wait listens to it; more than ten of them is no leak.
    setMaxListeners(0, this.closing.signal);
    this.services = new KeptShares(clock, KEEP_MS);
    this.namespaces = new KeptShares(clock, KEEP_MS);
    this.offClose = connection.catalog.onClose(() => this.close());
  }

  /**
   * One live instance, chosen by weight. Opens a watch if there is none, waits at most `discovery.resolveTimeout` for its
   * first list, and keeps it for 60 s after the last use.
   *
   * @throws ServiceUnavailableError if there is no instance, or no list: as soon as etcd refuses, at the latest after the
   * timeout; the message says what etcd said last and when.
   */
  async getService(name: string): Promise<ServiceInstance> {
    const share = this.use(name);
    const snapshot = await this.firstSnapshot(share);
    const instance = weightedChoice(snapshot.instances, this.random);
    if (instance) return instance;
    throw new ServiceUnavailableError(`${knownInstances(name, snapshot)}; ${saidByEtcd(share.health, true)}`);
  }

  /**
   * All live instances, sorted by id; none is an empty list.
   *
   * @throws ServiceUnavailableError as `getService`, if there is no list.
   */
  async getServiceList(name: string): Promise<ServiceInstance[]> {
    const snapshot = await this.firstSnapshot(this.use(name));
    return [...snapshot.instances];
  }

  /**
   * Every service under the namespace that has a live instance. Watches the namespace and keeps that for 60 s after the
   * last use, so that asking again costs no request and still answers while etcd is away.
   *
   * @throws ServiceUnavailableError as `getService`, if there is no list.
   */
  async getAllServices(): Promise<Record<string, ServiceInstance[]>> {
    this.assertOpen();
    const share = this.namespaces.use('', () => this.connection.catalog.acquireNamespace());
    await holdProcess(firstList(share, this.patience('the namespace')));
    // Whoever writes to etcd chooses the names: without a prototype none of them means anything special.
    const services = Object.create(null) as Record<string, ServiceInstance[]>;
    for (const [service, { instances }] of share.snapshots) services[service] = [...instances];
    return services;
  }

  /**
   * The current instances as `added`, then every change. Waits for etcd, never errors because of it, completes when the
   * application closes; unsubscribing frees everything.
   */
  watchService(name: string): Observable<ServiceEvent> {
    this.assertOpen();
    assertValidName('service name', name);
    return serviceEvents(this.connection.catalog, name, this.closing.signal);
  }

  /**
   * Cache mode: watches these services, or without names the whole namespace with one watch, until the application
   * closes. Resolves when the cache is complete, which takes as long as etcd is away, unless `discovery.snapshotFile`
   * stands in for it.
   *
   * @throws ABORTED when `signal` aborts; what this call began to watch is given back.
   */
  async startWatch(names?: readonly string[], { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.assertOpen();
    const { catalog } = this.connection;
    for (const name of names ?? []) assertValidName('service name', name);
    const shares = names
      ? [...new Set(names)].map((name) => [name, catalog.acquire(name)] as const)
      : [['', catalog.acquireNamespace()] as const];
    try {
      await holdProcess(Promise.all(shares.map(([, share]) => share.ready(signal))));
    } catch (error) {
      for (const [, share] of shares) share.release();
      throw error;
    }
    for (const [name, share] of shares) {
      // Released only now, so that two calls for one service never leave it unwatched in between.
      if (this.held.has(name) || this.closing.signal.aborted) share.release();
      else this.held.set(name, share);
    }
  }

  /** One live instance of a watched service, chosen by weight, from memory; undefined for one that is not watched. */
  getCachedService(name: string): ServiceInstance | undefined {
    this.assertOpen();
    assertValidName('service name', name);
    const snapshot = this.connection.catalog.peek(name);
    return snapshot && weightedChoice(snapshot.instances, this.random);
  }

  /**
   * Resolves with the instances that are not suspect as soon as there are `minInstances` of them.
   *
   * @throws DiscoveryTimeoutError that says what was missing; ABORTED when `signal` aborts.
   */
  async waitForService(name: string, options: WaitForServiceOptions = {}): Promise<ServiceInstance[]> {
    this.assertOpen();
    const { timeoutMs = this.connection.resolveTimeoutMs, minInstances = 1, signal } = options;
    const share = this.connection.catalog.acquire(name);
    try {
      return await holdProcess(
        waitForInstances(share, {
          minInstances,
          timeoutMs: boundedMs(timeoutMs),
          clock: this.clock,
          signals: [this.closing.signal, signal],
        }),
      );
    } finally {
      share.release();
    }
  }

  /**
   * A generated or proto-loaded grpc-js client on `etcd:///<name>`, connected. The caller closes it.
   *
   * @throws ServiceUnavailableError, DiscoveryTimeoutError or ABORTED as `dial` says; the client is closed then.
   */
  async dialService<C extends DialedClient>(
    name: string,
    ClientClass: GrpcClientClass<C>,
    options: DialOptions = {},
  ): Promise<C> {
    this.assertOpen();
    const { catalog, name: connection, resolveTimeoutMs } = this.connection;
    const share = catalog.acquire(name);
    try {
      return await holdProcess(
        dial(etcdTarget(name, connection), ClientClass, share, {
          ...options,
          timeoutMs: boundedMs(options.timeoutMs ?? resolveTimeoutMs),
          signals: [this.closing.signal, ...(options.signal ? [options.signal] : [])],
        }),
      );
    } finally {
      share.release();
    }
  }

  /** What this process knows of a service and how its gRPC clients stand, without any I/O. */
  describe(name: string): ServiceDescription {
    this.assertOpen();
    assertValidName('service name', name);
    const { catalog, name: connection } = this.connection;
    const { instances, standIn } = catalog.peek(name) ?? {};
    return { service: name, instances, ...(standIn && { standIn }), clients: balancers.describe(connection, name) };
  }

  /**
   * Sets the policy of every gRPC client of a service in this process, those to come included, from the next call on and
   * without a reconnect; `undefined` goes back to what each was configured with.
   *
   * @throws InvalidOptionsError for a policy that nobody defined.
   */
  setLoadBalancing(name: string, policy: string | PolicyConfig | undefined): void {
    this.assertOpen();
    assertValidName('service name', name);
    balancers.setLoadBalancing(this.connection.name, name, policy);
  }

  /** Gives every watch back and ends every wait with CLOSED. Called when the connection closes; idempotent. */
  close(): void {
    if (this.closing.signal.aborted) return;
    this.offClose();
    this.closing.abort(closedError());
    this.services.close();
    this.namespaces.close();
    for (const share of this.held.values()) share.release();
    this.held.clear();
  }

  private use(name: string): ServiceSubscription {
    this.assertOpen();
    return this.services.use(name, () => this.connection.catalog.acquire(name));
  }

  private firstSnapshot(share: ServiceSubscription): Promise<ServiceSnapshot> {
    return holdProcess(firstList(share, this.patience(`service "${share.service}"`)));
  }

  private patience(what: string) {
    const { resolveTimeoutMs: timeoutMs } = this.connection;
    return { what, timeoutMs, clock: this.clock, signal: this.closing.signal };
  }

  private assertOpen(): void {
    if (this.closing.signal.aborted) throw closedError();
  }
}

const boundedMs = (ms: number): number => {
  if (Number.isNaN(ms) || ms < 0) {
    throw new EtcdDiscoveryError('INVALID_OPTIONS', `timeoutMs: expected milliseconds, 0 or more, got ${ms}`);
  }
  return Math.min(ms, LONGEST_TIMER_MS);
};
