import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { ConnectionCheck, Probe } from '../../src/catalog/connection-check.js';
import type { NamespaceSubscription } from '../../src/catalog/service-catalog.js';
import { instanceKey } from '../../src/instance/instance-key.js';
import { Registrar } from '../../src/registry/registrar.js';
import type { ResolvedDiscoveryOptions } from '../../src/options/resolved-options.js';
import type { Log } from '../../src/utils/log.js';
import { seededRandom } from '../support/fake-clock.js';
import { Follower, SUSPECT_MS } from './follower.js';
import { Link } from './link.js';
import { ModelClient } from './model-client.js';
import { CountingClock, ProcessTime } from './process-clock.js';
import { RequestMeter } from './request-meter.js';
import type { Stage } from './stage.js';
import { NAMESPACE } from './truth.js';

/** A registration that the application wants to stand. */
export interface Intent {
  readonly service: string;
  readonly id: string;
  readonly address: string;
  weight: number;
}

/** Leaving takes 4 s, a grant in flight 1 s, the revoke up to 2 s: what `close()` promises, and a little. */
const CLOSE_BOUND_MS = 7_500;

const OPTIONS: ResolvedDiscoveryOptions = {
  resolveTimeoutMs: 5_000,
  suspectTimeoutMs: SUSPECT_MS,
  static: {},
  sources: [],
  plainKeys: true,
};

/** One process with the library's write path and read path in it. */
export class ModelProcess {
  readonly name: string;
  readonly time: ProcessTime;
  /** The library's timers, without those of the client to etcd. */
  readonly libraryClock: CountingClock;
  readonly clientClock: CountingClock;
  readonly link: Link;
  readonly client: ModelClient;
  readonly registrar: Registrar;
  readonly catalog: EtcdCatalog;
  readonly meter: RequestMeter;
  readonly intents = new Map<string, Intent>();
  readonly followers = new Map<string, Follower>();
  namespace: NamespaceSubscription | undefined;
  /** Once there is a lease, it stays until the end. */
  hasRegistered = false;
  private readonly channelListeners = new Set<(service: string, address: string) => void>();
  private lastStopped = -Infinity;
  private closing: Promise<void> | undefined;
  private closed = false;

  constructor(
    private readonly world: Stage,
    readonly index: number,
    readonly incarnation: number,
  ) {
    const { clock, server, setting, defect } = world;
    this.name = `process ${index}.${incarnation}`;
    const random = seededRandom(setting.seed + 7_919 * (index + 1) + 104_729 * incarnation);
    this.time = new ProcessTime(clock);
    this.libraryClock = new CountingClock(this.time);
    this.clientClock = new CountingClock(this.time);
    this.link = new Link(clock, random, (text) => this.client.connectionLost(text));
    server.links.add(this.link);
    const log = this.log();
    this.client = new ModelClient({
      owner: this.name,
      server,
      link: this.link,
      clock: this.clientClock,
      transit: this.time,
      random,
      log,
      writing: (request) => world.writing(this.name, request),
    });
    this.meter = new RequestMeter(world, this.name, this.client, () => this.users);
    const common = { namespace: NAMESPACE, clock: this.libraryClock, random, log };
    this.registrar = new Registrar({ ...common, etcd: defect.registrarPort?.(this.client) ?? this.client });
    this.catalog = new EtcdCatalog({
      ...common,
      etcd: defect.catalogPort?.(this.client) ?? this.client,
      options: { ...OPTIONS, ...defect.options },
      probe: defect.probe ?? this.probe,
      ...(setting.channels && { connections: this.connections() }),
    });
  }

  /** Killed, or closed to the end. */
  get isGone(): boolean {
    return this.closed || this.time.mode === 'dead';
  }

  get isOpen(): boolean {
    return !this.closing && this.time.mode !== 'dead';
  }

  /** What may be asking etcd for something: the lease, registrations, watches of a service and of its plain key. */
  private get users(): number {
    return 2 + this.intents.size + this.followers.size * 2 + (this.namespace ? 1 : 0);
  }

  register(service: string, id: string, host: number): void {
    const key = instanceKey(NAMESPACE, service, id);
    if (!this.isOpen || this.time.mode !== 'running' || this.intents.has(key)) return;
    const address = `10.0.${host}.${1 + Number.parseInt(id.slice(1), 10)}:8080`;
    const [name] = address.split(':');
    const endpoints = [{ protocol: 'grpc', host: name as string, port: 8080, secure: false }] as const;
    const intent: Intent = { service, id, address, weight: 10 };
    this.intents.set(key, intent);
    this.hasRegistered = true;
    this.world.listens(address, true);
    this.registrar.register({
      record: { service, id, endpoints, weight: intent.weight, metadata: {} },
      ttlMs: 10_000,
      idGiven: this.world.setting.givenIds,
    });
  }

  deregister(service: string, id: string): void {
    const key = instanceKey(NAMESPACE, service, id);
    if (!this.isOpen || this.time.mode !== 'running' || !this.intents.has(key)) return;
    this.forget(key);
    void this.registrar.deregister(`${service}/${id}`);
  }

  update(service: string, id: string, weight: number): void {
    const intent = this.intents.get(instanceKey(NAMESPACE, service, id));
    if (!this.isOpen || this.time.mode !== 'running' || !intent) return;
    intent.weight = weight;
    void this.registrar.update(`${service}/${id}`, { weight });
  }

  subscribe(service: string): void {
    if (!this.isOpen || this.time.mode !== 'running' || this.followers.has(service)) return;
    this.followers.set(service, new Follower(this.world, this.name, this.catalog.acquire(service)));
  }

  unsubscribe(service: string): void {
    if (this.time.mode !== 'running') return;
    this.followers.get(service)?.end();
    this.followers.delete(service);
  }

  watchNamespace(): void {
    if (this.isOpen && this.time.mode === 'running') this.namespace ??= this.catalog.acquireNamespace();
  }

  endNamespace(): void {
    if (this.time.mode !== 'running') return;
    this.namespace?.release();
    this.namespace = undefined;
  }

  crash(): void {
    if (this.time.mode === 'dead') return;
    this.time.kill();
    this.followers.clear();
    this.namespace = undefined;
    this.dropIntents();
    this.link.refuse();
    this.world.server.links.delete(this.link);
    for (const stream of this.client.streams) stream.destroy();
  }

  /** As by SIGSTOP. */
  pause(): void {
    this.time.stop();
  }

  resume(): void {
    if (this.time.mode === 'stopped') this.lastStopped = this.world.clock.now();
    this.time.resume();
  }

  /** Leaves as an application does. */
  close(): void {
    if (this.isOpen && this.time.mode === 'running') this.closing = this.doClose();
  }

  channelChanged(address: string): void {
    if (this.time.mode !== 'running') return;
    for (const service of this.followers.keys()) {
      for (const listener of this.channelListeners) listener(service, address);
    }
  }

  private async doClose(): Promise<void> {
    const startedAt = this.world.clock.now();
    this.dropIntents();
    await this.catalog.close();
    this.followers.clear();
    this.namespace = undefined;
    await this.registrar.close();
    const tookMs = this.world.clock.now() - startedAt;
    // A process that was stopped meanwhile could not do better.
    if (tookMs > CLOSE_BOUND_MS && this.lastStopped < startedAt) {
      this.world.violated('slow close', `${this.name} took ${Math.round(tookMs)} ms`);
    }
    // What was let go lets go of its own in the same turn.
    for (let hop = 0; hop < 20; hop++) await Promise.resolve();
    this.left('timers', this.libraryClock.pending);
    this.left('listeners at the gate', this.client.gateListeners);
    this.left('watches', this.client.openWatches);
    this.left('listeners of channels', this.channelListeners.size);
    await this.client.close();
    this.left('timers of the client', this.clientClock.pending);
    this.left('streams', this.client.streams.size);
    this.closed = true;
    this.world.server.links.delete(this.link);
  }

  private left(what: string, count: number): void {
    if (count !== 0) this.world.violated('left open', `${this.name}: ${count} ${what} after close`);
  }

  private dropIntents(): void {
    for (const key of this.intents.keys()) this.forget(key);
  }

  private forget(key: string): void {
    const intent = this.intents.get(key);
    this.intents.delete(key);
    if (!intent) return;
    if (!this.world.isUsed(intent.address)) this.world.listens(intent.address, false);
  }

  private readonly probe: Probe = (host, port, signal) =>
    new Promise((resolve) => {
      const answer = (accepted: boolean) => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        resolve(accepted);
      };
      const onAbort = () => answer(true);
      const cancel = this.clientClock.after(2, () => answer(this.world.accepts(`${host}:${port}`)));
      signal.addEventListener('abort', onAbort, { once: true });
    });

  private connections(): ConnectionCheck {
    return {
      stateOf: (_service, address) => (this.world.accepts(address) ? 'ready' : 'failed'),
      onChange: (listener) => {
        const entry = (service: string, address: string) => listener(service, address);
        this.channelListeners.add(entry);
        return () => void this.channelListeners.delete(entry);
      },
    };
  }

  private log(): Log {
    return {
      debug: () => {},
      log: () => {},
      warn: () => {},
      error: (message) => this.world.violated('error logged', `${this.name}: ${message}`),
    };
  }
}
