import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { EtcdClient } from '../etcd/etcd-client.js';
import { chooseAdvertisedAddress } from '../instance/advertised-address.js';
import { formatHostPort } from '../instance/host-port.js';
import type { InstanceEndpoint } from '../instance/service-instance.js';
import type { ResolvedRegistration } from '../options/resolved-options.js';
import type { Registrar } from '../registry/registrar.js';
import type { RegistrationPatch, RegistrationState } from '../registry/registration-state.js';
import type { Log } from '../utils/log.js';
import { describeServers, matchServer } from './server-match.js';
import type { TrackedServer } from './tracked-server.js';

/** One service of this process: the registrations of one name and id, which share one key. */
export interface PlannedService {
  readonly service: string;
  readonly id: string;
  /** Resolves when the key is in etcd; rejects when it will not get there. */
  readonly done: Promise<void>;
}

interface Planned extends PlannedService {
  readonly idGiven: boolean;
  readonly parts: PlannedEndpoint[];
  /** The registrar has it, and speaks for it from then on. */
  handedOver?: boolean;
  registered?: { done: Promise<void> };
  settle(outcome: Promise<void>): void;
}

interface PlannedEndpoint {
  registration: ResolvedRegistration;
  readonly since: Date;
  server?: TrackedServer;
  endpoint?: InstanceEndpoint;
}

/**
 * Ties the registrations of the options, and those made at run time, to the servers of the application: each is handed
 * to the registrar as soon as its server is bound, with the address that was really bound.
 */
export class RegistrationPlan {
  private readonly services: Planned[] = [];
  private readonly closing = new AbortController();

  constructor(
    private readonly deps: {
      readonly etcd: EtcdClient;
      readonly etcdEndpoints: readonly string[];
      readonly registrar: Registrar;
      readonly failFast: boolean;
      readonly newId: () => string;
      readonly env: NodeJS.ProcessEnv;
      readonly log: Log;
    },
  ) {}

  /** Adds a registration; two of one service without ids of their own, or with the same id, become one key. */
  add(registration: ResolvedRegistration): PlannedService {
    const part: PlannedEndpoint = { registration, since: new Date() };
    const sibling = this.services.find(
      ({ service, id, idGiven, parts }) =>
        service === registration.name &&
        (registration.id === undefined ? !idGiven : registration.id === id) &&
        parts.every((other) => other.registration.transport !== registration.transport),
    );
    if (sibling) {
      sibling.parts.push(part);
      return sibling;
    }
    let settle!: Planned['settle'];
    const done = new Promise<void>((resolve) => (settle = resolve));
    // Whoever does not wait for it must not crash for it.
    done.catch(() => undefined);
    const id = registration.id ?? this.deps.newId();
    const idGiven = registration.id !== undefined;
    const planned: Planned = { service: registration.name, id, idGiven, parts: [part], done, settle };
    this.services.push(planned);
    return planned;
  }

  /**
   * Changes a registration that the registrar does not have yet.
   *
   * @returns false when there is no such one: then it is the registrar's.
   */
  update(id: string, patch: RegistrationPatch): boolean {
    const waiting = this.find(id).filter(({ handedOver }) => !handedOver);
    const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
    for (const part of waiting.flatMap(({ parts }) => parts)) part.registration = { ...part.registration, ...given };
    return waiting.length > 0;
  }

  /** Forgets a registration; one that the registrar has is the registrar's to end. Without an id: all. */
  remove(id?: string): void {
    for (const planned of this.find(id)) {
      this.forget(planned);
      if (planned.handedOver) continue;
      const what = `${planned.service}/${planned.id}`;
      planned.settle(Promise.reject(new EtcdDiscoveryError('ABORTED', `${what} was taken back before it was in etcd`)));
    }
  }

  /** Forgets everything; nothing is handed to the registrar afterwards. */
  close(): void {
    this.closing.abort();
    this.remove();
  }

  /** Registrations that are not with the registrar yet, as states. */
  get waiting(): RegistrationState[] {
    return this.services
      .filter(({ handedOver }) => !handedOver)
      .map(({ service, id, parts }) => ({
        id,
        service,
        state: 'waiting',
        reason: parts.some(({ server }) => server)
          ? 'waiting for etcd, to know which of our addresses leads to it'
          : `waiting for a ${parts.map(({ registration }) => registration.transport).join(' and a ')} server to be bound`,
        since: parts[0]?.since ?? new Date(),
      }));
  }

  /**
   * Registers whatever (or `only` what) has a bound server now and resolves when those keys are in etcd. Idempotent.
   *
   * @throws RegistrationConflictError with `failFast`, when another process holds an id.
   */
  async registerBound(servers: readonly TrackedServer[], only?: PlannedService): Promise<void> {
    const services = this.services.filter((service) => !only || service === only);
    await Promise.all(services.map((service) => this.registerService(service, servers)));
  }

  /** Error lines about registrations that no server fits, for the log. */
  unmatched(servers: readonly TrackedServer[]): string[] {
    return this.services
      .flatMap(({ parts }) => parts)
      .filter(({ server }) => !server)
      .map(
        ({ registration: { name, transport, addr } }) =>
          `registration "${name}" has no server: it needs a ${transport} server${addr ? ` on ${addr}` : ''}, but ${describeServers(servers)}. ` +
          `It stays unregistered until such a server listens; check registration.transport and registration.addr.`,
      );
  }

  private find(id: string | undefined): Planned[] {
    return this.services.filter((one) => id === undefined || one.id === id || `${one.service}/${one.id}` === id);
  }

  private forget(planned: Planned): void {
    const at = this.services.indexOf(planned);
    if (at >= 0) this.services.splice(at, 1);
  }

  private async registerService(planned: Planned, servers: readonly TrackedServer[]): Promise<void> {
    const before = planned.parts.filter(({ endpoint }) => endpoint).length;
    for (const part of planned.parts) {
      if (part.server) continue;
      const match = matchServer(part.registration, servers);
      if (!match?.server.served) continue;
      part.server = match.server;
      if (match.warning) this.deps.log.warn(match.warning);
      part.endpoint = await this.endpointOf(part.registration, match.server.served);
    }
    const endpoints = planned.parts.flatMap(({ endpoint }) => (endpoint ? [endpoint] : []));
    if (endpoints.length === 0 || !this.services.includes(planned)) return;
    if (!planned.registered) {
      planned.registered = this.handOver(planned, endpoints);
    } else if (endpoints.length > before) {
      await this.deps.registrar.update(`${planned.service}/${planned.id}`, { endpoints });
    }
    await planned.registered.done;
  }

  private handOver(planned: Planned, endpoints: readonly InstanceEndpoint[]): { done: Promise<void> } {
    const [{ registration }] = planned.parts as [PlannedEndpoint, ...PlannedEndpoint[]];
    planned.handedOver = true;
    try {
      const registered = this.deps.registrar.register({
        record: {
          service: planned.service,
          id: planned.id,
          endpoints,
          version: registration.version,
          zone: registration.zone,
          weight: registration.weight,
          metadata: { ...registration.metadata },
        },
        ttlMs: Math.min(...planned.parts.map((part) => part.registration.ttlMs)),
        failFast: this.deps.failFast,
        idGiven: planned.idGiven,
      });
      planned.settle(registered.done);
      // One that has failed for good must not fail those that come after it.
      registered.done.catch(() => this.forget(planned));
      return registered;
    } catch (error) {
      this.forget(planned);
      planned.settle(Promise.reject(error as Error));
      throw error;
    }
  }

  private async endpointOf(
    registration: ResolvedRegistration,
    served: NonNullable<TrackedServer['served']>,
  ): Promise<InstanceEndpoint> {
    const { etcdEndpoints, env, log } = this.deps;
    const decided = registration.advertise !== undefined || env.POD_IP !== undefined;
    const chosen = chooseAdvertisedAddress({
      bound: served,
      advertise: registration.advertise,
      env,
      etcdEndpoints,
      etcdLocalAddress: decided ? undefined : await this.addressTowardsEtcd(),
    });
    const address = formatHostPort(chosen.host, chosen.port);
    log.log(`${registration.name}: advertising ${registration.transport} ${address} (${chosen.reason})`);
    if (chosen.warning) log.warn(`${registration.name}: ${chosen.warning}`);
    return { protocol: registration.transport, host: chosen.host, port: chosen.port, secure: served.secure };
  }

  /**
   * The local address of a connection to etcd. While etcd is away there is no hurry: nothing can be registered, and an
   * address guessed now could be another one than after a start with etcd.
   */
  private async addressTowardsEtcd(): Promise<string | undefined> {
    const { etcd } = this.deps;
    const { signal } = this.closing;
    while (!signal.aborted) {
      const address = await etcd.localAddress({ signal }).catch(() => undefined);
      if (address !== undefined) return address;
      // Asked something, etcd either answers, and has no such address for us, or the gate learns that it is away.
      const answers = await etcd.range({ key: '/', limit: 1, keysOnly: true }, { signal }).then(
        () => true,
        () => etcd.gate.state.open,
      );
      if (answers) return undefined;
      await etcd.gate.whenOpen(signal);
    }
    return undefined;
  }
}
