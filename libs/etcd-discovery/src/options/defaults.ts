import type { ResolvedClientDefaults } from './resolved-options.js';

/** Every default of the options, each with where it comes from. Durations in milliseconds. */
export const DEFAULTS = {
  name: 'default',
  /** The customary prefix of hand-written etcd registries (`/services/<name>/<id>`). */
  namespace: '/services',
  /** `DialTimeout` in the examples of etcd's clientv3 (doc.go). */
  dialTimeoutMs: 5000,
  /** go-zero's `TimeToLive` (core/discov/clients.go); Kratos has 15 s, Kitex 60 s. */
  ttlMs: 10_000,
  /** go-zero waits 1 s between leaving the registry and stopping (core/proc/shutdown.go). */
  propagationWaitMs: 1000,
  /** A third of Kubernetes' `terminationGracePeriodSeconds` of 30, which has to hold the whole stop. */
  drainTimeoutMs: 10_000,
  /** Same as the dial timeout: a first list that takes longer is an etcd that cannot be reached. */
  resolveTimeoutMs: 5000,
  /** Eureka's self-preservation has no end; bounded here, so that an address that others took over is not called for ever. */
  suspectTimeoutMs: 300_000,
} as const;

/** Shortest TTL: below it a single lost renewal (every TTL/3, answered within TTL/5) would end the lease. */
export const MIN_TTL_MS = 2000;

/** Registered services without a `registration.weight` weigh this; the same number as Kitex. */
export { DEFAULT_WEIGHT } from '../instance/service-instance.js';

/** Retry where it is on, and nothing else is said. gRPC equivalent: `retryPolicy` and `retryThrottling` of gRFC A6. */
export const RETRY_DEFAULTS = {
  /** gRFC A6 allows 2 to 5; with 4 a call outlives three instances that are replaced one after the other. */
  maxAttempts: 4,
  initialBackoffMs: 20,
  maxBackoffMs: 500,
  /** The most gRFC A6 allows: a failed attempt costs one, so a small budget is spent by one lost instance under load. */
  maxTokens: 1000,
} as const;

/** Client defaults that gave no failed call in rolling restarts. */
export const CLIENT_DEFAULTS: ResolvedClientDefaults = Object.freeze({
  /** Power of two choices over calls in flight, as Envoy's `LEAST_REQUEST`. */
  loadBalancing: Object.freeze({ policy: 'least_request' }),
  retry: Object.freeze({ ...RETRY_DEFAULTS }),
  retryableMethods: Object.freeze([]),
  /** gRPC itself has none; a call without one hangs as long as its server. */
  deadlineMs: 10_000,
  waitForReady: false,
  /** Above the 10 s floor of grpc-go's client; servers with Go's default enforcement are spared by the balancer. */
  keepalive: Object.freeze({ timeMs: 30_000, timeoutMs: 5000 }),
  /** The settings of gRFC A50. */
  outlierDetection: Object.freeze({}),
});
