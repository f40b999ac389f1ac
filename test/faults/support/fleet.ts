import { type INestApplicationContext, type LoggerService, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DiscoveryService,
  type EtcdDiscoveryOptions,
  EtcdDiscoveryModule,
  type ServiceEvent,
  ServiceRegistry,
} from 'nestjs-etcd-discovery';
import { TestProcess, eventually } from '../../support/child-process.js';
import { type EchoClient, SteadyLoad, echoClient, say } from '../../support/echo-client.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { RowContext } from './row-context.js';

const SERVER = 'dist/test/fixtures/lifecycle-app.js';

/** What an application logged, oldest first, as `level message`. */
export class RecordedLog implements LoggerService {
  readonly lines: string[] = [];

  log = (message: unknown) => this.note('log', message);
  error = (message: unknown) => this.note('error', message);
  warn = (message: unknown) => this.note('warn', message);
  debug = (message: unknown) => this.note('debug', message);
  verbose = (message: unknown) => this.note('verbose', message);
  fatal = (message: unknown) => this.note('fatal', message);

  private note(level: string, message: unknown): void {
    this.lines.push(`${level} ${String(message)}`);
  }
}

/** An application context in this process, with the module under test; ended with the row. */
export class TestApplication {
  private constructor(
    readonly context: INestApplicationContext,
    readonly log: RecordedLog,
    /** The name of its connection, for `etcd://<name>/<service>`. */
    readonly connection: string,
  ) {}

  /** @param options what differs from: the row's namespace, a connection name of its own */
  static async start(row: RowContext, options: Partial<EtcdDiscoveryOptions> & Pick<EtcdDiscoveryOptions, 'etcd'>) {
    const connection = options.name ?? `${row.name}-${counter++}`;
    @Module({ imports: [EtcdDiscoveryModule.forRoot({ namespace: row.namespace, ...options, name: connection })] })
    class Application {}
    const log = new RecordedLog();
    const context = await NestFactory.createApplicationContext(Application, { logger: log, abortOnError: false });
    const application = new TestApplication(context, log, connection);
    row.defer(application, () => application.close());
    return application;
  }

  get discovery(): DiscoveryService {
    return this.context.get(DiscoveryService);
  }

  get registry(): ServiceRegistry {
    return this.context.get(ServiceRegistry);
  }

  close(): Promise<void> {
    return this.context.close();
  }
}

let counter = 0;

/** What a watcher of a service was told, and how many instances it had at the least. */
export class Following {
  readonly told: (ServiceEvent & { readonly at: number; readonly size: number })[] = [];
  private readonly live = new Set<string>();

  constructor(discovery: DiscoveryService, service: string) {
    discovery.watchService(service).subscribe((event) => {
      if (event.type === 'removed') this.live.delete(event.instance.id);
      else this.live.add(event.instance.id);
      this.told.push({ ...event, at: performance.now(), size: this.live.size });
    });
  }

  get size(): number {
    return this.live.size;
  }

  /** The fewest instances since the `from`-th event. */
  lowest(from = 0): number {
    return Math.min(this.size, ...this.told.slice(from).map(({ size }) => size));
  }

  /** `type id reason` of every event, for messages. */
  story(): string {
    return this.told
      .map(({ type, instance, reason }) => [type, instance.id, reason].filter(Boolean).join(' '))
      .join(', ');
  }
}

export interface FleetOptions {
  /** `host:port` of etcd, or of proxies before it, as the servers and the client reach it. */
  readonly etcd: string | readonly string[];
  /** The servers' own way to etcd, where it differs. */
  readonly serverEtcd?: string;
  /** Real server processes. Default: 3. */
  readonly servers?: number;
  /** Default: the row's. */
  readonly ttlMs?: number;
  /** Environment of the server processes beside that. */
  readonly env?: NodeJS.ProcessEnv;
  /** Options of the client application beside the connection. */
  readonly client?: Partial<EtcdDiscoveryOptions>;
}

/**
 * Server processes of the service `echo` and a client application in this process that calls them through a stock
 * grpc-js stub on `etcd://…/echo`, with plain retry for `Say`.
 */
export class Fleet {
  readonly servers: TestProcess[] = [];

  private constructor(
    private readonly row: RowContext,
    private readonly options: FleetOptions,
    readonly client: TestApplication,
    readonly stub: EchoClient,
    readonly following: Following,
  ) {}

  static async start(row: RowContext, options: FleetOptions): Promise<Fleet> {
    const client = await TestApplication.start(row, {
      etcd: { endpoints: [options.etcd].flat() },
      services: { echo: { retryableMethods: ['echo.v1.Echo/Say'] } },
      ...options.client,
    });
    const stub = row.defer(echoClient(`etcd://${client.connection}/echo`), (open) => open.close());
    const fleet = new Fleet(row, options, client, stub, new Following(client.discovery, 'echo'));
    await Promise.all(Array.from({ length: options.servers ?? 3 }, () => fleet.addServer()));
    await fleet.allReady();
    return fleet;
  }

  get discovery(): DiscoveryService {
    return this.client.discovery;
  }

  /** Starts one more server process; resolves when it listens and is registered. */
  async addServer(env: NodeJS.ProcessEnv = {}): Promise<TestProcess> {
    const server = this.spawn(env);
    await server.message('listening');
    return server;
  }

  /** Starts one more server process and does not wait for it. */
  spawn(env: NodeJS.ProcessEnv = {}): TestProcess {
    const { etcd, serverEtcd, ttlMs = this.row.ttlMs } = this.options;
    const server = this.row.defer(
      TestProcess.node(SERVER, ['micro'], {
        APP_ETCD: serverEtcd ?? [etcd].flat().join(','),
        APP_NAMESPACE: this.row.namespace,
        APP_TTL: `${ttlMs}ms`,
        APP_PROPAGATION_WAIT: '300ms',
        ...this.options.env,
        ...env,
      }),
      (process) => process.dispose(),
    );
    this.servers.push(server);
    return server;
  }

  /** Resolves when the client's balancer has a ready connection to each of `count` instances. */
  async allReady(count = this.options.servers ?? 3, timeoutMs = 20_000): Promise<void> {
    const ready = () => {
      const { instances = [] } = this.discovery.describe('echo').clients[0] ?? {};
      return instances.filter(({ state }) => state === 'ready').length;
    };
    await eventually(
      `${count} instances are connected`,
      async () => {
        if (ready() === count) return true;
        await say(this.stub, 'connect', 0, 1_000).catch(() => undefined);
        return ready() === count;
      },
      timeoutMs,
      () => `${ready()} are. ${this.following.story()}`,
    );
  }

  /** Calls of `Say` at a steady rate, each with a deadline of 1 s. */
  load(perSecond = 200): SteadyLoad {
    const load = new SteadyLoad((text) => say(this.stub, text, 2, 1_000), perSecond);
    this.row.defer(load, (running) => running.stop());
    return load;
  }

  idOf(server: TestProcess): string {
    const { registrations } = server.messages.find(({ event }) => event === 'listening') as {
      registrations: { id: string }[];
    };
    return registrations[0]!.id;
  }
}

/**
 * Resolves with how long it took, ms, until the cache of `discovery` holds exactly the instances of `service` that etcd
 * holds, none of them a suspect, with the same values (promise P8).
 *
 * @param etcd a healthy endpoint of etcd, or a client of it where that takes more than its address
 */
export const cacheEqualsEtcd = async (
  row: RowContext,
  discovery: DiscoveryService,
  etcd: string | RawEtcd,
  service = 'echo',
  timeoutMs = 20_000,
): Promise<number> => {
  const raw = typeof etcd === 'string' ? new RawEtcd(etcd) : etcd;
  const startedAt = performance.now();
  let seen = '';
  try {
    await eventually(
      `the cache of ${service} equals etcd`,
      async () => {
        const stored = (await raw.keys(`${row.namespace}/${service}/`))
          .filter(({ value }) => value.status === 'up')
          .map(({ key, value }) => `${key.split('/').at(-1)} ${String(value.address)} ${String(value.weight)}`);
        const cached = (await discovery.getServiceList(service)).map(
          ({ id, address, weight, suspect }) => `${id} ${address} ${weight}${suspect ? ' suspect' : ''}`,
        );
        seen = `etcd: ${stored.toSorted().join(', ')}; cache: ${cached.toSorted().join(', ')}`;
        return JSON.stringify(stored.toSorted()) === JSON.stringify(cached.toSorted());
      },
      timeoutMs,
      () => seen,
    );
    return performance.now() - startedAt;
  } finally {
    if (raw !== etcd) raw.close();
  }
};
