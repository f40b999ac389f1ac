import { type ChannelOptions, experimental } from '@grpc/grpc-js';
import type { ConnectionDirectory, DiscoveryConnection } from '../../catalog/connection-directory.js';
import type { ServiceSnapshot, ServiceSubscription } from '../../catalog/service-catalog.js';
import { EtcdDiscoveryError } from '../../etcd-discovery.errors.js';
import { DEFAULTS } from '../../options/defaults.js';
import type { Clock } from '../../utils/clock.js';
import { clientDefaults } from './client-defaults.js';
import {
  BALANCER_ATTRIBUTES,
  type BalancerAttributes,
  CLIENT_SETTINGS_OPTION,
  type ClientSettings,
} from './discovery-endpoint.js';
import { type EtcdTarget, parseEtcdTarget } from './etcd-target.js';
import { grpcEndpoints } from './grpc-endpoints.js';
import { MethodConfigSelector } from './method-config-selector.js';
import { type ListenerPort, adaptListener } from './resolver-listener.js';
import {
  type BuiltServiceConfig,
  type UserServiceConfig,
  buildServiceConfig,
  readUserServiceConfig,
} from './service-config.js';
import { messageOf } from '../../utils/message-of.js';

export interface ResolverDeps {
  readonly connections: ConnectionDirectory;
  readonly clock: Clock;
}

/** Where a resolver stands between `updateResolution` and `destroy`. */
type Phase =
  | { readonly kind: 'stopped' }
  /** No connection of the name is open. */
  | { readonly kind: 'unconnected' }
  | { readonly kind: 'attached'; readonly connection: DiscoveryConnection; readonly subscription: ServiceSubscription };

/**
 * Name resolver for `etcd:` targets. It lives on pushes: `updateResolution()` starts it, and while it runs does nothing,
 * because the catalog is always current. (Pushing again there would feed `round_robin`, which asks for resolution
 * whenever a child is not ready and rebuilds its children on each push: an endless loop that starves the event loop.)
 *
 * Channels may be built before the module: without a connection it waits for one, and when its connection closes it
 * goes on with the next of that name. Instances once reported stay in use until a newer list says otherwise.
 */
export class EtcdResolver implements experimental.Resolver {
  private readonly target: EtcdTarget;
  private readonly listener: ListenerPort;
  private readonly settings: ClientSettings | undefined;
  private readonly userConfig: UserServiceConfig;
  private readonly configFromUserOnly: boolean;
  private readonly selector = new MethodConfigSelector();

  private phase: Phase = { kind: 'stopped' };
  /** Whatever has to end when the phase does. */
  private cleanups: (() => void)[] = [];
  private cancelTimer: (() => void) | undefined;
  private stopFollowingDirectory: (() => void) | undefined;
  /** Invalidates what was scheduled before the last `destroy`. */
  private epoch = 0;
  private hasReportedInstances = false;
  private reportedFailure: string | undefined;

  constructor(
    uri: experimental.GrpcUri,
    listener: experimental.ResolverListener,
    options: ChannelOptions,
    private readonly deps: ResolverDeps,
  ) {
    this.target = parseEtcdTarget(uri);
    this.listener = adaptListener(listener);
    this.settings = options[CLIENT_SETTINGS_OPTION] as ClientSettings | undefined;
    this.userConfig = readUserServiceConfig(options['grpc.service_config']);
    this.configFromUserOnly = options['grpc.service_config_disable_resolution'] === 1;
  }

  updateResolution(): void {
    if (this.phase.kind !== 'stopped') return;
    this.phase = { kind: 'unconnected' };
    const epoch = ++this.epoch;
    // The listener must never be called from within this method.
    process.nextTick(() => {
      if (this.epoch !== epoch || this.phase.kind === 'stopped') return;
      this.stopFollowingDirectory = this.deps.connections.onChange(() => this.connect());
      this.connect();
    });
  }

  destroy(): void {
    this.epoch++;
    this.leavePhase();
    this.stopFollowingDirectory?.();
    this.stopFollowingDirectory = undefined;
    this.phase = { kind: 'stopped' };
    this.hasReportedInstances = false;
    this.reportedFailure = undefined;
  }

  /** Attaches to the connection of our name, if there is one and we have none. */
  private connect(): void {
    if (this.phase.kind !== 'unconnected') return;
    this.leavePhase();
    const connection = this.deps.connections.find(this.target.connection);
    if (!connection) return this.awaitConnection();
    try {
      this.attach(connection, connection.catalog.acquire(this.target.service));
    } catch (error) {
      // A connection that is closing leaves the directory in a moment; then the next one is tried.
      if (error instanceof EtcdDiscoveryError && error.code === 'CLOSED') this.awaitConnection();
      else this.fail(messageOf(error));
    }
  }

  private attach(connection: DiscoveryConnection, subscription: ServiceSubscription): void {
    this.phase = { kind: 'attached', connection, subscription };
    this.cleanups.push(
      () => subscription.release(),
      subscription.onChange(({ snapshot }) => this.report(snapshot)),
      connection.catalog.onClose(() => this.detach()),
    );
    if (subscription.snapshot) this.report(subscription.snapshot);
    else this.awaitFirstList(connection, subscription);
  }

  /** The connection closed: what was reported stays in use while the next one is looked for. */
  private detach(): void {
    this.leavePhase();
    this.phase = { kind: 'unconnected' };
    this.connect();
  }

  private awaitConnection(): void {
    const { connection, service } = this.target;
    const since = new Date();
    // No connection is there to say how long.
    this.after(DEFAULTS.resolveTimeoutMs, () => {
      this.fail(
        `service "${service}" cannot be looked up: no discovery connection "${connection}" is open in this process ` +
          `(waiting since ${since.toISOString()}). Import EtcdDiscoveryModule.forRoot(…)` +
          (connection === 'default' ? '' : ` with name: '${connection}'`),
      );
    });
  }

  private awaitFirstList(connection: DiscoveryConnection, subscription: ServiceSubscription): void {
    let late = false;
    const check = (): void => {
      if (!subscription.snapshot && (late || subscription.health.error))
        this.fail(this.unresolved(connection, subscription));
    };
    this.cleanups.push(subscription.onHealth(check));
    this.after(connection.resolveTimeoutMs, () => {
      late = true;
      check();
    });
    check();
  }

  private unresolved(connection: DiscoveryConnection, { health }: ServiceSubscription): string {
    const since = `since ${health.since.toISOString()}`;
    const said = health.error
      ? `etcd says: ${health.error.message} (${since})`
      : `etcd has not answered within ${connection.resolveTimeoutMs} ms (${since})`;
    return `service "${this.target.service}" is not resolved yet: ${said}`;
  }

  private report({ instances, standIn }: ServiceSnapshot): void {
    if (this.phase.kind !== 'attached') return;
    const { connection } = this.phase;
    const { service } = this.target;
    const endpoints = grpcEndpoints(instances);
    const built = this.build(connection);
    const serviceConfig = this.configFromUserOnly ? null : built.config;
    const attributes = this.attributes(connection, built);
    this.reportedFailure = undefined;
    if (endpoints.length > 0) {
      this.hasReportedInstances = true;
      this.listener.endpoints(endpoints, serviceConfig, attributes, '');
      return;
    }
    const none = standIn
      ? `etcd has not answered, and no instance of service "${service}" in the snapshot file can be reached`
      : `no instance of service "${service}" is registered`;
    const reason =
      instances.length === 0
        ? `${none} (as of ${new Date().toISOString()})`
        : `none of the ${instances.length} instances of service "${service}" has a gRPC endpoint`;
    this.hasReportedInstances = false;
    if (this.listener.shape === 'function' && built.oursBalances && !this.configFromUserOnly) {
      this.listener.endpoints([], serviceConfig, attributes, reason);
    } else {
      this.listener.unavailable(reason, serviceConfig, attributes);
    }
  }

  /** Tells the channel why there is nothing to call; never while instances are in use. */
  private fail(details: string): void {
    if (this.hasReportedInstances || this.reportedFailure === details) return;
    this.reportedFailure = details;
    const connection = this.phase.kind === 'attached' ? this.phase.connection : undefined;
    const built = this.build(connection);
    const serviceConfig = this.configFromUserOnly ? null : built.config;
    this.listener.unavailable(details, serviceConfig, this.attributes(connection, built));
  }

  private build(connection: DiscoveryConnection | undefined): BuiltServiceConfig {
    const defaults = clientDefaults(connection, this.target.service, this.settings?.overrides);
    // Up to 1.12, a call whose retry is throttled never ends (seen on 1.10.12, 1.11.3 and 1.12.6).
    const throttling = this.listener.shape === 'function';
    return buildServiceConfig(defaults, this.userConfig, this.settings, { throttling });
  }

  private attributes(connection: DiscoveryConnection | undefined, built: BuiltServiceConfig): Record<string, unknown> {
    const { keepalive } = clientDefaults(connection, this.target.service, this.settings?.overrides);
    const balancer: BalancerAttributes = { ...this.target, keepalive };
    const attributes: Record<string, unknown> = { [BALANCER_ATTRIBUTES]: balancer };
    const selectorKey: string | undefined = experimental.CHANNEL_ARGS_CONFIG_SELECTOR_KEY;
    if (built.lateRetry && this.listener.shape === 'function' && selectorKey && !this.configFromUserOnly) {
      this.selector.use(built);
      attributes[selectorKey] = this.selector;
    }
    return attributes;
  }

  private after(ms: number, run: () => void): void {
    this.cancelTimer?.();
    this.cancelTimer = this.deps.clock.after(ms, run);
  }

  private leavePhase(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    const { cleanups } = this;
    this.cleanups = [];
    for (const cleanup of cleanups) cleanup();
  }
}

type ResolverClass = Parameters<typeof experimental.registerResolver>[1];

/** The class grpc-js is given: its constructor takes what grpc-js passes and nothing else. */
export const createResolverClass = (deps: ResolverDeps): ResolverClass =>
  class extends EtcdResolver {
    constructor(uri: experimental.GrpcUri, listener: experimental.ResolverListener, options: ChannelOptions) {
      super(uri, listener, options, deps);
    }

    /** Name that TLS verifies and HTTP/2 sends as `:authority`: the service's. */
    static getDefaultAuthority(uri: experimental.GrpcUri): string {
      return parseEtcdTarget(uri).service;
    }
  };
