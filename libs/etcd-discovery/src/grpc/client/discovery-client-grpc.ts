import type { CallOptions, ServiceClientConstructor } from '@grpc/grpc-js';
import { ClientGrpcProxy, type GrpcOptions } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { assertPolicyDefined } from '../../balancing/picker-registry.js';
import { type DiscoveryConnection, connections } from '../../catalog/connection-directory.js';
import { InvalidOptionsError } from '../../etcd-discovery.errors.js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';
import '../register.js';
import { clientDefaults } from '../resolver/client-defaults.js';
import { CLIENT_SETTINGS_OPTION, type ClientSettings } from '../resolver/discovery-endpoint.js';
import { DEFAULT_CONNECTION, etcdTarget } from '../resolver/etcd-target.js';
import { namesMethod } from '../resolver/retryable-methods.js';
import { readArguments, withWaitForReady } from './call-arguments.js';
import { resolveOverrides } from './client-overrides.js';
import type { DiscoveryGrpcOptions } from './discovery-client.options.js';
import { assertProtoFiles } from './proto-file.js';
import { RetryBudget } from './retry-budget.js';
import { type UnaryCallPolicy, unaryCall } from './unary-call.js';

type NestGrpcOptions = GrpcOptions['options'];

/** What grpc-js hangs on each method of a client; `options` comes from proto-loader. */
interface MethodAttributes {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
  options?: { idempotency_level?: string };
}

type GrpcClient = Record<string, ((...args: unknown[]) => never) & MethodAttributes> & { close(): void };

/** `idempotency_level` of a method that may be repeated without asking (descriptor.proto). */
const REPEATABLE_LEVELS = new Set(['IDEMPOTENT', 'NO_SIDE_EFFECTS']);

/**
 * Nest's gRPC client with the addresses from etcd: the same `getService`, the same observables. Use it through
 * `forFeature` and `@InjectGrpcClient`, through `DiscoveryClientFactory`, or as `customClass` of Nest's `ClientsModule`:
 *
 * ```ts
 * ClientsModule.register([{ name: 'NOTIFICATION', customClass: DiscoveryClientGrpc,
 *   options: { service: 'notification-server', package: 'notification.v1', protoPath } }])
 * ```
 *
 * Beyond what the target `etcd:///…` gives every client, it reads the proto: methods that declare `idempotency_level`
 * IDEMPOTENT or NO_SIDE_EFFECTS are retried when an instance goes away; and it gives unary calls a deadline. It may be
 * built, and `getService` called, before the module is there: the module's settings are read when calls are made.
 *
 * @throws InvalidOptionsError (code INVALID_OPTIONS) for options that cannot work, a missing proto file included;
 *     EtcdDiscoveryError INVALID_NAME for a service name that cannot be
 */
export class DiscoveryClientGrpc extends ClientGrpcProxy {
  readonly service: string;
  readonly connection: string;

  // Nest types its own gRPC client so that it is no `ClientProxy`; with this it fits `customClass` without a cast.
  // oxlint-disable-next-line typescript/no-explicit-any
  declare protected _status$: any;

  private readonly overrides: Partial<ResolvedClientDefaults>;
  /** Every client made, so that `close` forgets none: Nest keeps the last one of each name only. */
  private readonly made = new Set<{ close(): void }>();
  private current: { connection: DiscoveryConnection | undefined; defaults: ResolvedClientDefaults } | undefined;
  private budget: RetryBudget | undefined;

  constructor(options: DiscoveryGrpcOptions) {
    super(toNestOptions(options));
    this.service = options.service;
    this.connection = options.connection ?? DEFAULT_CONNECTION;
    this.overrides = resolveOverrides(options);
  }

  /** @throws InvalidGrpcServiceException (Nest's) for a service the proto does not have */
  override createClientByServiceName(name: string): unknown {
    const constructor = this.getClient(name)?.[name] as ServiceClientConstructor | undefined;
    const { loadBalancing } = this.overrides;
    if (loadBalancing) assertPolicyDefined(`loadBalancing of the client for "${this.service}"`, loadBalancing.policy);
    const settings: ClientSettings = {
      overrides: this.overrides,
      methods: Object.values((constructor?.service ?? {}) as Record<string, unknown>).map((method) => {
        const { path, options } = method as MethodAttributes;
        return { path: path.slice(1), idempotent: REPEATABLE_LEVELS.has(options?.idempotency_level ?? '') };
      }),
    };
    // Nest reads the options at this moment and nowhere else; each gRPC service of a proto has settings of its own.
    const channelOptions = this.options.channelOptions as Record<string, unknown>;
    channelOptions[CLIENT_SETTINGS_OPTION] = settings;
    try {
      const client = super.createClientByServiceName(name) as { close(): void };
      this.made.add(client);
      return client;
    } finally {
      delete channelOptions[CLIENT_SETTINGS_OPTION];
    }
  }

  override createUnaryServiceMethod(
    client: GrpcClient,
    methodName: string,
  ): (...args: unknown[]) => Observable<unknown> {
    const method = client[methodName]!;
    if (method.requestStream) {
      const call = super.createUnaryServiceMethod(client, methodName) as (...args: unknown[]) => Observable<unknown>;
      return (...args) => call(...this.withWaitForReady(args));
    }
    return (...args) => {
      const { request, metadata, options } = readArguments(args);
      const sent = withWaitForReady(metadata, this.defaults().waitForReady);
      const invoke = client[methodName]!.bind(client) as (...args: unknown[]) => never;
      return unaryCall(
        (callOptions: CallOptions, callback) => invoke(request, sent, callOptions, callback),
        options,
        () => this.policyOf(method),
        { after: afterInCall, random: Math.random, serializeError: (error) => this.serializeError(error) as unknown },
      );
    };
  }

  override createStreamServiceMethod(client: unknown, methodName: string): (...args: unknown[]) => Observable<unknown> {
    const call = super.createStreamServiceMethod(client, methodName) as (...args: unknown[]) => Observable<unknown>;
    return (...args) => call(...this.withWaitForReady(args));
  }

  /** Calls in flight end as they would; new ones fail. */
  override close(): void {
    super.close();
    for (const client of this.made) client.close();
    this.made.clear();
  }

  /** Nest calls this when its servers are closed, so that calls made while they drain still go out. */
  onApplicationShutdown(): void {
    this.close();
  }

  /** The settings in force: our own over those of the connection that is open now. */
  private defaults(): ResolvedClientDefaults {
    const connection = connections.find(this.connection);
    if (!this.current || this.current.connection !== connection) {
      this.current = { connection, defaults: clientDefaults(connection, this.service, this.overrides) };
    }
    return this.current.defaults;
  }

  private policyOf(method: MethodAttributes): UnaryCallPolicy {
    const { deadlineMs, retry, retryableMethods } = this.defaults();
    const repeatable =
      REPEATABLE_LEVELS.has(method.options?.idempotency_level ?? '') ||
      retryableMethods.some((entry) => namesMethod(entry, method.path));
    if (!repeatable || retry === false) return { deadlineMs };
    this.budget ??= new RetryBudget(retry.maxTokens);
    const { maxAttempts, initialBackoffMs } = retry;
    return { deadlineMs, repeat: { maxAttempts, backoffMs: initialBackoffMs, budget: this.budget } };
  }

  /** Arguments of a streaming method with metadata that waits for ready, where that is asked for. */
  private withWaitForReady(args: unknown[]): unknown[] {
    if (!this.defaults().waitForReady) return args;
    const { request, metadata, options } = readArguments(args);
    return [request, withWaitForReady(metadata, true), ...(options ? [options] : [])];
  }
}

/** Holds the process, unlike the clock's timers: between two attempts of a call nothing else may do so. */
const afterInCall = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

const toNestOptions = (options: DiscoveryGrpcOptions): NestGrpcOptions => {
  const { service, connection, protoPath, packageDefinition, loader, channelOptions } = options;
  const url = etcdTarget(service, connection);
  if (protoPath) assertProtoFiles(service, protoPath, loader?.includeDirs);
  else if (!packageDefinition) {
    throw new InvalidOptionsError(
      `protoPath of the gRPC client for "${service}" is missing: give the path of its .proto file, or packageDefinition`,
    );
  }
  return {
    ...(options as NestGrpcOptions),
    url,
    // A proxy in the environment would replace the target before our resolver sees it.
    channelOptions: { 'grpc.enable_http_proxy': 0, ...channelOptions },
  };
};
