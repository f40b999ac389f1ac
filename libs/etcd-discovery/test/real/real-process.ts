import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { NamespaceSubscription } from '../../src/catalog/service-catalog.js';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { instanceKey } from '../../src/instance/instance-key.js';
import { Registrar } from '../../src/registry/registrar.js';
import { type Random, systemClock } from '../../src/utils/clock.js';
import { Follower, SUSPECT_MS } from '../model/follower.js';
import type { Intent } from '../model/model-process.js';
import { discoveryOptions, RecordingLog } from '../support/catalog-world.js';
import { seededRandom } from '../support/fake-clock.js';
import type { Surroundings } from './surroundings.js';
import { Way } from './way.js';

/** Of every registration, ms: the smallest that there is. */
export const TTL_MS = 2_000;
/** As long as leaving may take with an etcd that does not answer: 4 s, a grant in flight 1 s, the revoke up to 2 s. */
const CLOSE_BOUND_MS = 7_500;

/** Says what is logged where the steps are noted, too. */
class NotedLog extends RecordingLog {
  constructor(private readonly note: (line: string) => void) {
    super();
  }

  override debug(message: string): void {
    super.debug(message);
    this.note(message);
  }

  override log(message: string): void {
    super.log(message);
    this.note(message);
  }

  override warn(message: string): void {
    super.warn(message);
    this.note(message);
  }

  override error(message: string): void {
    super.error(message);
    this.note(message);
  }
}

/** What one process of an application has of the library, on ways of its own to etcd. */
export class RealProcess {
  readonly intents = new Map<string, Intent>();
  readonly followers = new Map<string, Follower>();
  readonly log: RecordingLog;
  readonly catalog: EtcdCatalog;
  readonly registrar: Registrar;
  /** Leases that etcd has granted to it. */
  readonly leases = new Set<string>();
  namespace: NamespaceSubscription | undefined;
  hasRegistered = false;
  /** Killed, as far as others can tell. */
  crashed = false;
  private readonly etcd: EtcdClient;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly world: Surroundings,
    readonly name: string,
    private readonly index: number,
    readonly way: Way,
    random: Random,
  ) {
    const { namespace, defect } = world;
    this.log = new NotedLog((line) => world.note(`${name}: ${line}`));
    this.etcd = createEtcdClient({ endpoints: way.endpoints, dialTimeoutMs: 5_000 }, { random, log: this.log });
    const common = { namespace, random, log: this.log };
    const noting = this.notingLeases(this.etcd);
    this.registrar = new Registrar({ ...common, etcd: defect.registrarPort?.(noting) ?? noting });
    this.catalog = new EtcdCatalog({
      ...common,
      etcd: defect.catalogPort?.(this.etcd) ?? this.etcd,
      options: discoveryOptions({ suspectTimeoutMs: SUSPECT_MS, ...defect.options }),
      probe: defect.probe ?? ((host, port) => Promise.resolve(world.accepts(`${host}:${port}`))),
    });
  }

  /** @param incarnation the how manieth process in its place */
  static async start(world: Surroundings, index: number, incarnation: number): Promise<RealProcess> {
    const random = seededRandom(world.setting.seed + 7_919 * (index + 1) + 104_729 * incarnation);
    const way = await Way.open(world.etcd.endpoint, world.setting.ways, random);
    return new RealProcess(world, `process ${index}.${incarnation}`, index, way, random);
  }

  register(service: string, i: number): void {
    // Processes do not share ids: who gives way to whom takes longer than a schedule.
    const id = `p${this.index}-${i}`;
    const key = instanceKey(this.world.namespace, service, id);
    if (this.crashed || this.intents.has(key)) return;
    const host = `10.0.${this.index}.${1 + i}`;
    const intent: Intent = { service, id, address: `${host}:8080`, weight: 10 };
    this.intents.set(key, intent);
    this.hasRegistered = true;
    this.world.listens(intent.address, true);
    this.registrar.register({
      record: {
        service,
        id,
        endpoints: [{ protocol: 'grpc', host, port: 8080, secure: false }],
        weight: intent.weight,
        metadata: {},
      },
      ttlMs: TTL_MS,
      idGiven: this.world.setting.givenIds,
    });
  }

  deregister(service: string, i: number): void {
    const key = this.keyOf(service, i);
    if (this.crashed || !this.intents.delete(key)) return;
    void this.unfailing('deregister', this.registrar.deregister(`${service}/p${this.index}-${i}`));
  }

  update(service: string, i: number, weight: number): void {
    const intent = this.intents.get(this.keyOf(service, i));
    if (this.crashed || !intent) return;
    intent.weight = weight;
    void this.unfailing('update', this.registrar.update(`${service}/${intent.id}`, { weight }));
  }

  subscribe(service: string): void {
    if (this.crashed || this.followers.has(service)) return;
    this.followers.set(service, new Follower(this.world, this.name, this.catalog.acquire(service)));
  }

  unsubscribe(service: string): void {
    if (this.crashed) return;
    this.followers.get(service)?.end();
    this.followers.delete(service);
  }

  watchNamespace(): void {
    if (!this.crashed) this.namespace ??= this.catalog.acquireNamespace();
  }

  endNamespace(): void {
    if (this.crashed) return;
    this.namespace?.release();
    this.namespace = undefined;
  }

  /** Nobody hears of it any more, and whoever served at its addresses is gone. */
  crash(): void {
    if (this.crashed) return;
    this.crashed = true;
    this.way.break('refuse', 0);
    for (const { address } of this.intents.values()) this.world.listens(address, false);
    this.intents.clear();
    for (const follower of this.followers.values()) follower.end();
    this.followers.clear();
    this.namespace = undefined;
    // What a killed process has open is closed by the system; here somebody must. Nothing of it gets through.
    void this.close();
  }

  /** Leaves as an application does. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.doClose());
  }

  private async doClose(): Promise<void> {
    const startedAt = systemClock.now();
    this.followers.clear();
    this.namespace = undefined;
    await this.catalog.close();
    await this.registrar.close();
    await this.etcd.close();
    const tookMs = systemClock.now() - startedAt;
    if (tookMs > CLOSE_BOUND_MS) this.world.violated('slow close', `${this.name} took ${Math.round(tookMs)} ms`);
  }

  private keyOf(service: string, i: number): string {
    return instanceKey(this.world.namespace, service, `p${this.index}-${i}`);
  }

  private unfailing(what: string, work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => this.world.violated(`${what} rejected`, `${this.name}: ${String(error)}`));
  }

  private notingLeases(etcd: EtcdClient): EtcdClient {
    const { leases } = this;
    return new Proxy(etcd, {
      get: (target, name) => {
        if (name === 'grantLease') {
          return async (...request: Parameters<EtcdClient['grantLease']>) => {
            const lease = await target.grantLease(...request);
            leases.add(lease.id);
            return lease;
          };
        }
        const value: unknown = target[name as keyof EtcdClient];
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
}
