import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
} from '@nestjs/common';
import type { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { BehaviorSubject, type Observable, ReplaySubject } from 'rxjs';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { EtcdClient } from '../etcd/etcd-client.js';
import type { Registration } from '../options/etcd-discovery-options.interface.js';
import { resolveRegistration, resolveRegistrationPatch } from '../options/resolve-options.js';
import type { ResolvedEtcdDiscoveryOptions } from '../options/resolved-options.js';
import type { Registrar } from '../registry/registrar.js';
import type { RegistrationState } from '../registry/registration-state.js';
import type { Log } from '../utils/log.js';
import { newInstanceId } from './instance-id.js';
import { type PlannedService, RegistrationPlan } from './registration.plan.js';
import { ServerTracker } from './server.tracker.js';
import { type HealthReporter, ShutdownSequence, sequencesOf } from './shutdown.sequence.js';
import { signalGuard } from './signal.guard.js';
import type { TrackedServer } from './tracked-server.js';

/** How long after bootstrap (or after binding) a missing counterpart is worth a line in the log. */
const COUNTERPART_MS = 10_000;

export interface ServiceRegistryDeps {
  readonly options: ResolvedEtcdDiscoveryOptions;
  /** Absent with `enabled: false`: nothing is ever registered. */
  readonly etcd?: { readonly client: EtcdClient; readonly registrar: Registrar };
  readonly modules: ModulesContainer;
  readonly httpAdapterHost?: HttpAdapterHost;
  readonly health?: HealthReporter;
  /** Closes catalog and etcd client, after the lease has been revoked. */
  readonly closeConnection: () => Promise<void>;
  readonly log: Log;
}

/**
 * The write path of one application: registers it in etcd when its servers are bound and it has bootstrapped, and takes
 * it out, while it still serves, when it stops. The options' registrations need no call at all.
 */
export class ServiceRegistry
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  /**
   * Emits once when the application begins to leave, and then to every late subscriber: long server streams end
   * themselves with `takeUntil(registry.draining$)`.
   */
  readonly draining$: Observable<void>;
  /** The whole list of registrations on every change, starting with the present one. */
  readonly state$: Observable<readonly RegistrationState[]>;

  private readonly draining = new ReplaySubject<void>(1);
  private readonly states = new BehaviorSubject<readonly RegistrationState[]>([]);
  private readonly plan: RegistrationPlan | undefined;
  private readonly tracker: ServerTracker;
  private readonly shutdown: ShutdownSequence;
  private readonly timers = new Set<NodeJS.Timeout>();
  private bootstrapped = false;

  constructor(private readonly deps: ServiceRegistryDeps) {
    const { options, etcd, modules, httpAdapterHost, health, log } = deps;
    this.draining$ = this.draining.asObservable();
    this.state$ = this.states.asObservable();
    this.tracker = new ServerTracker(modules, httpAdapterHost, {
      bound: (server) => this.onBound(server),
      closing: (server) => this.shutdown.closeServer(server),
    });
    this.shutdown = new ShutdownSequence({
      ...options.shutdown,
      leave: () => this.leave(),
      servers: this.tracker.servers,
      health,
      services: () => this.registrations.map(({ service }) => service),
      together: sequencesOf(modules),
      log,
    });
    if (!etcd) return;
    this.plan = new RegistrationPlan({
      etcd: etcd.client,
      etcdEndpoints: options.etcd.endpoints,
      registrar: etcd.registrar,
      failFast: options.failFast,
      newId: newInstanceId,
      env: process.env,
      log,
    });
    for (const registration of options.registrations) this.plan.add(registration);
    etcd.registrar.onStates(() => this.publishStates());
    this.publishStates();
    // From here on a signal must not leave a key behind, whatever main.ts forgot.
    if (options.registrations.length > 0) this.guardSignals();
  }

  /** Every registration of this process and its state. */
  get registrations(): readonly RegistrationState[] {
    return this.states.value;
  }

  /**
   * Registers a service beside those of the options. It goes to etcd when the server of its transport is bound.
   *
   * @returns the instance id, and `done`, which resolves when the key is in etcd.
   * @throws EtcdDiscoveryError INVALID_OPTIONS for a registration that cannot work, CLOSED once the application stops.
   */
  register(registration: Registration): { id: string; done: Promise<void> } {
    if (this.shutdown.begun)
      throw new EtcdDiscoveryError('CLOSED', 'the application is stopping: nothing is registered any more');
    const resolved = resolveRegistration(registration);
    if (!this.plan) {
      this.deps.log.log(`${resolved.name}: not registered, because the module has enabled: false`);
      return { id: resolved.id ?? newInstanceId(), done: Promise.resolve() };
    }
    const planned = this.plan.add(resolved);
    this.guardSignals();
    this.publishStates();
    const done = this.bootstrapped ? this.registerBound(planned).then(() => planned.done) : planned.done;
    // Whoever does not wait for it must not crash for it.
    done.catch(() => undefined);
    return { id: planned.id, done };
  }

  /**
   * Takes one registration, or all without an id, out of etcd: the draining mark, then the removal. The servers keep
   * serving. Bounded, even while etcd is away.
   */
  async deregister(id?: string): Promise<void> {
    this.plan?.remove(id);
    this.publishStates();
    await this.deps.etcd?.registrar.deregister(id);
  }

  /**
   * Changes what is published of one registration; clients see it without a reconnect. One that waits for its server is
   * published like this from the start.
   *
   * @throws InvalidOptionsError for a patch that cannot be published, and for an id that is not registered.
   */
  async update(id: string, patch: Pick<Registration, 'weight' | 'zone' | 'version' | 'metadata'>): Promise<void> {
    const resolved = resolveRegistrationPatch(patch);
    if (!this.plan?.update(id, resolved)) await this.deps.etcd?.registrar.update(id, resolved);
  }

  async onApplicationBootstrap(): Promise<void> {
    // Hybrid applications with deferred initialization run their hooks twice.
    if (!this.bootstrapped) this.after(COUNTERPART_MS, () => this.reportUnmatched());
    this.bootstrapped = true;
    await this.registerBound();
  }

  async onModuleDestroy(): Promise<void> {
    await this.shutdown.run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.shutdown.run();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.shutdown.run();
    await this.release();
  }

  private async onBound(server: TrackedServer): Promise<void> {
    if (this.bootstrapped) return this.registerBound();
    this.after(COUNTERPART_MS, () => {
      if (this.bootstrapped || !this.plan || this.shutdown.begun) return;
      this.deps.log.warn(
        `a ${server.transport} server is bound${server.served ? ` on port ${server.served.port}` : ''}, but the application was never initialized: ` +
          'nothing is registered. Call `await app.init()` or `await app.listen()`.',
      );
    });
  }

  /** Registers what (or `only` what) can be registered; returns with a warning where etcd does not answer in time. */
  private async registerBound(only?: PlannedService): Promise<void> {
    const { etcd, options, log } = this.deps;
    if (!this.plan || !etcd || this.shutdown.begun) return;
    const registering = this.plan.registerBound(this.tracker.servers, only).catch((error: unknown) => {
      this.publishStates();
      // Taken back, by a stop during the start or by `deregister`: no reason for the application to fail.
      if (!(error instanceof EtcdDiscoveryError && ['ABORTED', 'CLOSED'].includes(error.code))) throw error;
    });
    registering.catch(() => undefined);
    this.publishStates();
    const away = new Promise<'away'>((resolve) => {
      const timer = this.after(options.etcd.dialTimeoutMs, () => resolve('away'));
      const stop = etcd.client.gate.onChange(({ open }) => !open && resolve('away'));
      if (!etcd.client.gate.state.open) resolve('away');
      void registering
        .catch(() => undefined)
        .finally(() => {
          stop();
          clearTimeout(timer);
          this.timers.delete(timer);
        });
    });
    if ((await Promise.race([registering, away])) !== 'away') return;
    const missing = this.registrations.filter(({ state }) => !['registered', 'draining', 'stopped'].includes(state));
    const names = missing
      .map(({ service, id, reason }) => `${service}/${id}${reason ? ` (${reason})` : ''}`)
      .join(', ');
    const { open, error } = etcd.client.gate.state;
    const cause = open
      ? 'Registered as soon as that is over.'
      : `${error?.message ?? `etcd at ${options.etcd.endpoints.join(', ')} does not answer`}. Registered as soon as that is over.`;
    log.warn(`serving, but not registered yet: ${names}. ${cause}`);
  }

  private reportUnmatched(): void {
    if (this.shutdown.begun) return;
    for (const line of this.plan?.unmatched(this.tracker.servers) ?? []) this.deps.log.error(line);
  }

  private async leave(): Promise<boolean> {
    this.draining.next();
    const { etcd, options } = this.deps;
    // One taken out just now counts: its clients may not have seen that yet.
    const lately = Date.now() - options.shutdown.propagationWaitMs;
    const held =
      etcd !== undefined &&
      this.registrations.some(
        ({ state, since }) =>
          ['registered', 'lost', 'draining'].includes(state) || (state === 'stopped' && since.getTime() > lately),
      );
    this.plan?.close();
    await etcd?.registrar.deregister();
    return held;
  }

  private async release(): Promise<void> {
    signalGuard.remove(this.shutdown);
    this.tracker.stop();
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    await this.deps.etcd?.registrar.close();
    await this.deps.closeConnection();
    this.states.complete();
    this.draining.complete();
  }

  private guardSignals(): void {
    this.shutdown.releaseForSignal = () => this.release();
    signalGuard.add(this.shutdown, this.deps.log);
  }

  private publishStates(): void {
    this.states.next([...(this.plan?.waiting ?? []), ...(this.deps.etcd?.registrar.states ?? [])]);
  }

  private after(ms: number, fn: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      fn();
    }, ms);
    // A hint in the log must not keep the process alive.
    timer.unref();
    this.timers.add(timer);
    return timer;
  }
}
