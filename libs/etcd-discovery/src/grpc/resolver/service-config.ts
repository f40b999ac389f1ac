import type { ServiceConfig } from '@grpc/grpc-js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';
import { type ClientSettings, LB_POLICY_NAME } from './discovery-endpoint.js';
import { lacksPackage, namesMethod, split } from './retryable-methods.js';

export type MethodConfig = ServiceConfig['methodConfig'][number];
type MethodName = MethodConfig['name'][number];
type RetryPolicy = NonNullable<MethodConfig['retryPolicy']>;

/** The user's `grpc.service_config`, read and in the form that grpc-js works with. */
export type UserServiceConfig = Partial<ServiceConfig>;

/** What a resolver hands to its channel. */
export interface BuiltServiceConfig {
  readonly config: ServiceConfig;
  /** False where the user's service config chose another load-balancing policy. */
  readonly oursBalances: boolean;
  /** Retry for methods named without their package; a service config cannot say that. */
  readonly lateRetry?: { readonly entries: readonly string[]; readonly policy: RetryPolicy };
}

/**
 * Reads `grpc.service_config`. grpc-js has checked it by the time a resolver is made, so this does not fail; it sets right
 * the one thing grpc-js gets wrong: 1.14 takes the `timeout` "0.5s" for 5 ns.
 */
export const readUserServiceConfig = (json: unknown): UserServiceConfig => {
  if (typeof json !== 'string' || json === '') return {};
  const config = JSON.parse(json) as UserServiceConfig;
  for (const method of config.methodConfig ?? []) {
    const timeout: unknown = method.timeout;
    if (typeof timeout !== 'string') continue;
    const seconds = Number.parseFloat(timeout);
    method.timeout = { seconds: Math.floor(seconds), nanos: Math.round((seconds % 1) * 1e9) };
  }
  return config;
};

/**
 * The service config of one channel: our policy with grpc-js's `round_robin` behind it (taken where ours cannot load),
 * retry for the methods that may be repeated, throttling. What the user's own service config says wins, part by part.
 */
export const buildServiceConfig = (
  defaults: ResolvedClientDefaults,
  user: UserServiceConfig = {},
  settings?: ClientSettings,
  { throttling = true } = {},
): BuiltServiceConfig => {
  const userBalances = (user.loadBalancingConfig?.length ?? 0) > 0;
  const policy = retryPolicyOf(defaults);
  const { names, late } = policy ? retriedMethods(defaults, settings) : { names: [], late: [] };
  const theirs = user.methodConfig ?? [];
  // Ours come first, and grpc-js takes the first of equals: each repeats what the user says of its method.
  const ours = policy ? names.map((name) => withRetry(policy, name, matchMethodConfig(theirs, name))) : [];
  const { zone } = defaults;
  const config: ServiceConfig = {
    loadBalancingConfig: userBalances
      ? user.loadBalancingConfig!
      : [{ [LB_POLICY_NAME]: { ...(zone ? { zone } : {}), ...defaults.loadBalancing } }, { round_robin: {} }],
    methodConfig: [...ours, ...theirs],
  };
  const retryThrottling = user.retryThrottling ?? (throttling ? throttlingOf(defaults) : undefined);
  if (retryThrottling) config.retryThrottling = retryThrottling;
  return {
    config,
    oursBalances: !userBalances || LB_POLICY_NAME in (user.loadBalancingConfig![0] ?? {}),
    ...(policy && late.length > 0 ? { lateRetry: { entries: late, policy } } : {}),
  };
};

/** gRFC A6 caps attempts at 5; fewer than 2 are no retry. */
const retryPolicyOf = ({ retry }: ResolvedClientDefaults): RetryPolicy | undefined => {
  if (retry === false || retry.maxAttempts < 2) return undefined;
  return {
    maxAttempts: retry.maxAttempts,
    initialBackoff: `${retry.initialBackoffMs / 1000}s`,
    maxBackoff: `${retry.maxBackoffMs / 1000}s`,
    backoffMultiplier: 2,
    // Nothing else says that the call did not take place, or that another instance can answer.
    retryableStatusCodes: ['UNAVAILABLE'],
  };
};

/** gRFC A6: retries stop while the bucket is less than half full; a failure takes 1, a success gives 0.1, 1,000 at most. */
const throttlingOf = ({ retry }: ResolvedClientDefaults): ServiceConfig['retryThrottling'] =>
  retry === false ? undefined : { maxTokens: Math.min(retry.maxTokens, 1000), tokenRatio: 0.1 };

const retriedMethods = (
  { retryableMethods }: ResolvedClientDefaults,
  settings: ClientSettings | undefined,
): { names: MethodName[]; late: string[] } => {
  if (settings) {
    const retried = settings.methods.filter(
      ({ path, idempotent }) => idempotent || retryableMethods.some((entry) => namesMethod(entry, path)),
    );
    return { names: retried.map(({ path }) => nameOf(path)), late: [] };
  }
  return {
    names: unique(retryableMethods.filter((entry) => !lacksPackage(entry))).map(nameOf),
    late: retryableMethods.filter(lacksPackage),
  };
};

const unique = (entries: readonly string[]): string[] => [...new Set(entries)];

const nameOf = (path: string): MethodName => {
  const [service = '', method = ''] = split(path);
  return method === '*' || method === '' ? { service } : { service, method };
};

/** A method's config with our retry policy, unless the user's own config of it retries or hedges. */
export const withRetry = (policy: RetryPolicy, name: MethodName, theirs: MethodConfig | undefined): MethodConfig => ({
  ...(theirs?.hedgingPolicy ? {} : { retryPolicy: policy }),
  ...theirs,
  name: [name],
});

/** The config that holds for a method: by its name, else its service's, else the one for all; as grpc-js looks it up. */
export const matchMethodConfig = (configs: readonly MethodConfig[], name: MethodName): MethodConfig | undefined => {
  const levels: ((other: MethodName) => boolean)[] = [
    (other) => other.service === name.service && !!other.method && other.method === name.method,
    (other) => other.service === name.service && !other.method,
    (other) => !other.service && !other.method,
  ];
  for (const matches of levels) {
    const config = configs.find((candidate) => candidate.name.some(matches));
    if (config) return config;
  }
  return undefined;
};
