import { EtcdDiscoveryError, InvalidOptionsError, RegistrationConflictError } from '../etcd-discovery.errors.js';
import type { EtcdClient } from '../etcd/etcd-client.js';
import { instanceKey, servicePrefix } from '../instance/instance-key.js';
import { assertValidName } from '../instance/names.js';
import type { InstanceEndpoint } from '../instance/service-instance.js';
import { systemClock, type Clock, type Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { LeaseSession } from './lease-session.js';
import { LeftoverKeys } from './leftover-keys.js';
import { messageOf } from '../utils/message-of.js';
import type {
  RegistrationPatch,
  RegistrationSpec,
  RegistrationState,
  RegistrationTicket,
} from './registration-state.js';
import { Registration } from './registration.js';

/** What closing takes at most when etcd is frozen, ms; a grant in flight may add a second. */
const CLOSE_MS = 5_000;
/** So many stopped registrations stay in `states`, so that a process that registers and leaves for ever does not grow. */
const MAX_STOPPED = 32;

/**
 * The write path of one module: its registrations, and the one lease they share. There is no lease before the first
 * `register`. Nothing here throws because of etcd: what is wrong is in `states`.
 */
export class Registrar {
  private readonly session: LeaseSession;
  private readonly leftovers: LeftoverKeys;
  private readonly registrations = new Map<string, Registration>();
  private readonly listeners = new Set<(states: readonly RegistrationState[]) => void>();
  private readonly clock: Clock;
  private readonly random: Random;
  private snapshot: readonly RegistrationState[] = Object.freeze([]);
  private closed?: Promise<void>;

  constructor(
    private readonly deps: { etcd: EtcdClient; namespace: string; clock?: Clock; random?: Random; log: Log },
  ) {
    this.clock = deps.clock ?? systemClock;
    this.random = deps.random ?? Math.random;
    this.session = new LeaseSession(deps);
    this.leftovers = new LeftoverKeys({ ...deps, clock: this.clock, random: this.random });
    this.session.onEvent((event) => event.type === 'lost' && this.leftovers.leaseEnded(event.lease.id));
  }

  /**
   * Begins to register and goes on until it stands; progress is in `states`.
   * @throws EtcdDiscoveryError `INVALID_NAME`, `CLOSED`
   * @throws RegistrationConflictError when this process has registered the same service and id already
   */
  register(spec: RegistrationSpec): RegistrationTicket {
    const { service, id } = spec.record;
    if (this.closed)
      throw new EtcdDiscoveryError('CLOSED', `${service}/${id} cannot be registered: the registry is closed`);
    assertValidName('service name', service);
    assertValidName('instance id', id);
    const key = instanceKey(this.deps.namespace, service, id);
    const earlier = this.registrations.get(key);
    if (earlier && !earlier.isLeaving) {
      throw new RegistrationConflictError(
        `${service}/${id} is registered by this process already. Deregister it first, give the second one another id, or add its endpoint to the first.`,
      );
    }
    const registration = new Registration({
      ...this.deps,
      clock: this.clock,
      random: this.random,
      session: this.session,
      leftovers: this.leftovers,
      key,
      prefix: servicePrefix(this.deps.namespace, service),
      spec,
      ...(earlier && { predecessor: earlier.stopped }),
      changed: () => this.publish(),
    });
    // Deleted first, so that it moves to the end: `states` is in the order of registering.
    this.registrations.delete(key);
    this.registrations.set(key, registration);
    this.session.start(spec.ttlMs);
    this.publish();
    return { id, done: registration.done };
  }

  /**
   * Changes what is published of a registration; see `Registration.update` for when it resolves.
   * @param id the instance id, or `service/id` where two services of this process share an id
   * @throws InvalidOptionsError for an id that is unknown or ambiguous, and for a weight out of range
   * @throws EtcdDiscoveryError `CLOSED` for one that is leaving
   */
  async update(id: string, patch: RegistrationPatch): Promise<void> {
    const { weight } = patch;
    if (weight !== undefined && !(Number.isInteger(weight) && weight >= 1 && weight <= 10_000)) {
      throw new InvalidOptionsError(`weight: ${String(weight)} given, expected an integer from 1 to 10000`);
    }
    const [registration, second] = this.find(id);
    if (!registration)
      throw new InvalidOptionsError(`No registration with the id "${id}" in this process${this.known()}`);
    if (second)
      throw new InvalidOptionsError(
        `Several services are registered with the id "${id}": give "service/id"${this.known()}`,
      );
    if (registration.isLeaving) throw new EtcdDiscoveryError('CLOSED', `${id} is being deregistered`);
    await registration.update(patch);
  }

  /** Replaces the endpoints of a registration, as `update` does: two servers of one service are one key. */
  setEndpoints(id: string, endpoints: readonly InstanceEndpoint[]): Promise<void> {
    return this.update(id, { endpoints });
  }

  /**
   * Draining mark and guarded removal, within 4 s even when etcd is frozen. Without an id: all. An id that is not
   * registered (any more) is not an error.
   * @param id as for `update`
   */
  async deregister(id?: string): Promise<void> {
    await this.leave(
      this.find(id),
      (state) =>
        new EtcdDiscoveryError('ABORTED', `${state.service}/${state.id} was deregistered before it was in etcd`),
    );
  }

  /** All registrations in the order of registering, the latest stopped ones included. Immutable. */
  get states(): readonly RegistrationState[] {
    return this.snapshot;
  }

  /** Calls back with every new `states`; the returned function unsubscribes. */
  onStates(listener: (states: readonly RegistrationState[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Deregisters what is left and revokes the lease, within about 5 s. Idempotent, never rejects, leaves no timer. */
  close(): Promise<void> {
    return (this.closed ??= this.doClose());
  }

  private async doClose(): Promise<void> {
    const startedAt = this.clock.now();
    await this.leave(
      this.find(undefined),
      (state) =>
        new EtcdDiscoveryError(
          'CLOSED',
          `${state.service}/${state.id} was not in etcd yet when the registry was closed`,
        ),
    );
    this.leftovers.close();
    await this.session.close(CLOSE_MS - (this.clock.now() - startedAt));
    this.listeners.clear();
  }

  private async leave(some: Registration[], why: (state: RegistrationState) => EtcdDiscoveryError): Promise<void> {
    await Promise.all(some.map((registration) => registration.leave(why(registration.state))));
  }

  private find(id: string | undefined): Registration[] {
    return [...this.registrations.values()].filter(
      ({ state }) =>
        state.state !== 'stopped' && (id === undefined || state.id === id || `${state.service}/${state.id}` === id),
    );
  }

  private known(): string {
    const names = this.snapshot.filter(({ state }) => state !== 'stopped').map(({ service, id }) => `${service}/${id}`);
    return names.length === 0 ? '' : `; there is: ${names.join(', ')}`;
  }

  private publish(): void {
    const stopped = [...this.registrations].filter(([, registration]) => registration.state.state === 'stopped');
    for (const [key] of stopped.slice(0, Math.max(0, stopped.length - MAX_STOPPED))) this.registrations.delete(key);
    this.snapshot = Object.freeze([...this.registrations.values()].map(({ state }) => state));
    for (const listener of this.listeners) {
      try {
        listener(this.snapshot);
      } catch (error) {
        this.deps.log.error(`A listener of the registrations threw: ${messageOf(error)}`);
      }
    }
  }
}
