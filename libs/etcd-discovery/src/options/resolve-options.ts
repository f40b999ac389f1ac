import type { z } from 'zod';
import { EMPTY_METADATA } from '../instance/metadata.js';
import { isMap, mistakesOf } from './option-section.js';
import { CLIENT_DEFAULTS, DEFAULT_WEIGHT, DEFAULTS, RETRY_DEFAULTS } from './defaults.js';
import { ETCD_VARIABLES, variable } from './environment.js';
import { readEndpoints } from './etcd-endpoints.js';
import { invalidOptions } from './option-mistake.js';
import { type KeyOrigin, originOf, rememberOrigin } from './option-origin.js';
import {
  type GivenClient,
  type GivenOptions,
  type GivenRegistration,
  optionsSchema,
  registrationPatchSection,
  registrationSection,
} from './options.schema.js';
import type {
  ResolvedClientDefaults,
  ResolvedEtcdDiscoveryOptions,
  ResolvedEtcdOptions,
  ResolvedRegistration,
} from './resolved-options.js';

/**
 * Checks the options, brings keys to camelCase and durations to milliseconds, and fills in every default.
 *
 * What the code says wins over the environment: `ETCD_ENDPOINTS`, `ETCD_USERNAME` and `ETCD_PASSWORD` are used here only
 * when no endpoints are given at all, so that the credentials of one etcd are never sent to another. (`loadYamlConfig` lets
 * the environment override a file.)
 *
 * @throws InvalidOptionsError with every mistake at once: its path, what was given, what was expected, and the file and
 * line where that is known. Passwords and keys are never shown.
 */
export const resolveOptions = (input: unknown, env: NodeJS.ProcessEnv = process.env): ResolvedEtcdDiscoveryOptions => {
  const completed = withEnvironment(input, env);
  const parsed = optionsSchema.safeParse(completed);
  if (!parsed.success) throw invalidOptions(completed, mistakesOf(parsed.error));
  return resolve(parsed.data, completed);
};

/**
 * The same for one registration, as `ServiceRegistry.register` takes it.
 *
 * @throws InvalidOptionsError
 */
export const resolveRegistration = (input: unknown): ResolvedRegistration =>
  registrationOf(parsePart(registrationSection, 'registration', input));

/** The part of a registration that can change while it stands. */
export type ResolvedRegistrationPatch = Partial<Pick<ResolvedRegistration, 'version' | 'zone' | 'weight' | 'metadata'>>;

/**
 * The same for a change of a registration, as `ServiceRegistry.update` takes it. Only what is given is in the result; an
 * empty `zone` or `version` counts as not given.
 *
 * @throws InvalidOptionsError
 */
export const resolveRegistrationPatch = (input: unknown): ResolvedRegistrationPatch => {
  const { version, zone, weight, metadata } = parsePart(registrationPatchSection, 'registration', input);
  return {
    ...onlyIfGiven('version', version),
    ...onlyIfGiven('zone', zone),
    ...onlyIfGiven('weight', weight),
    ...onlyIfGiven('metadata', metadata),
  };
};

const parsePart = <T extends z.ZodType>(type: T, name: string, input: unknown): z.output<T> => {
  const parsed = type.safeParse(input);
  if (parsed.success) return parsed.data;
  const mistakes = mistakesOf(parsed.error).map((mistake) => ({ ...mistake, path: [name, ...mistake.path] }));
  throw invalidOptions({ [name]: input }, mistakes);
};

/** What the clients of one service go by: its own settings over the common ones. */
export const clientDefaultsOf = (
  { client, services }: Pick<ResolvedEtcdDiscoveryOptions, 'client' | 'services'>,
  service: string,
): ResolvedClientDefaults => ({ ...client, ...services[service] });

const withEnvironment = (input: unknown, env: NodeJS.ProcessEnv): unknown => {
  const endpoints = variable(env, ETCD_VARIABLES.endpoints);
  if (!isMap(input) || endpoints === undefined || input.enabled === false) return input;
  const etcd = input.etcd ?? {};
  if (!isMap(etcd) || (etcd.endpoints !== undefined && etcd.endpoints !== null)) return input;
  const credentials = (['username', 'password'] as const).flatMap((key) => {
    const value = variable(env, ETCD_VARIABLES[key]);
    return value === undefined || (etcd[key] ?? '') !== '' ? [] : [[key, value] as const];
  });
  const added = [['endpoints', endpoints] as const, ...credentials];
  return copyWith(input, [['etcd', copyWith(etcd, added, (key) => ({ variable: ETCD_VARIABLES[key] }))]]);
};

/** A copy with other values for some keys, which still knows what file it came from. */
const copyWith = <K extends string>(
  map: Record<string, unknown>,
  entries: readonly (readonly [K, unknown])[],
  originOfKey?: (key: K) => KeyOrigin,
): Record<string, unknown> => {
  const copy = { ...map, ...Object.fromEntries(entries) };
  const origin = originOf(map);
  if (origin || originOfKey) {
    const keys = new Map(origin?.keys);
    for (const [key] of entries) if (originOfKey) keys.set(key, originOfKey(key));
    rememberOrigin(copy, { file: origin?.file, path: origin?.path ?? '', keys });
  }
  return copy;
};

const resolve = (given: GivenOptions, completed: unknown): ResolvedEtcdDiscoveryOptions => {
  const { shutdown, discovery } = given;
  const client = clientOf(given.client ?? {}, CLIENT_DEFAULTS);
  return Object.freeze({
    name: given.name ?? DEFAULTS.name,
    enabled: given.enabled ?? true,
    namespace: given.namespace ?? DEFAULTS.namespace,
    failFast: given.failFast ?? false,
    etcd: etcdOf(given.etcd, completed),
    registrations: (given.registration ?? []).map(registrationOf),
    shutdown: {
      propagationWaitMs: shutdown?.propagationWait ?? DEFAULTS.propagationWaitMs,
      drainTimeoutMs: shutdown?.drainTimeout ?? DEFAULTS.drainTimeoutMs,
    },
    ...onlyIfGiven('health', given.health),
    discovery: {
      resolveTimeoutMs: discovery?.resolveTimeout ?? DEFAULTS.resolveTimeoutMs,
      suspectTimeoutMs: discovery?.suspectTimeout ?? DEFAULTS.suspectTimeoutMs,
      static: discovery?.static ?? noServices(),
      sources: discovery?.sources ?? [],
      plainKeys: discovery?.plainKeys ?? true,
      ...onlyIfGiven('snapshotFile', discovery?.snapshotFile),
      ...onlyIfGiven('allowedCidrs', discovery?.allowedCidrs),
      ...onlyIfGiven('allowedPorts', discovery?.allowedPorts),
      ...onlyIfGiven('allowLoopback', discovery?.allowLoopback),
    },
    client,
    services: servicesOf(given.services ?? noServices(), client),
  });
};

const etcdOf = (given: GivenOptions['etcd'], completed: unknown): ResolvedEtcdOptions => {
  if (!given) return { endpoints: [], dialTimeoutMs: DEFAULTS.dialTimeoutMs };
  const raw = isMap(completed) && isMap(completed.etcd) ? completed.etcd.endpoints : undefined;
  const encrypted = given.tls !== undefined || readEndpoints(raw)?.some(({ scheme }) => scheme === 'https');
  return {
    endpoints: given.endpoints,
    dialTimeoutMs: given.dialTimeout ?? DEFAULTS.dialTimeoutMs,
    ...onlyIfGiven('username', given.username),
    ...onlyIfGiven('password', given.password),
    ...(encrypted ? { tls: given.tls ?? {} } : {}),
  };
};

const registrationOf = (given: GivenRegistration): ResolvedRegistration => ({
  name: given.name,
  transport: given.transport ?? 'grpc',
  weight: given.weight ?? DEFAULT_WEIGHT,
  metadata: given.metadata ?? EMPTY_METADATA,
  ttlMs: given.ttl ?? DEFAULTS.ttlMs,
  mirror: { plain: given.mirror?.plain ?? false, ...onlyIfGiven('goZero', given.mirror?.goZero) },
  ...onlyIfGiven('addr', given.addr),
  ...onlyIfGiven('id', given.id),
  ...onlyIfGiven('advertise', given.advertise),
  ...onlyIfGiven('version', given.version),
  ...onlyIfGiven('zone', given.zone),
});

const clientOf = (given: GivenClient, base: ResolvedClientDefaults): ResolvedClientDefaults => {
  const settings = clientSettings(given, base);
  return Object.freeze({ ...base, ...settings });
};

const servicesOf = (
  given: Readonly<Record<string, GivenClient>>,
  client: ResolvedClientDefaults,
): ResolvedEtcdDiscoveryOptions['services'] => {
  const services = noServices<Partial<ResolvedClientDefaults>>();
  for (const [service, own] of Object.entries(given)) services[service] = Object.freeze(clientSettings(own, client));
  return Object.freeze(services);
};

/** What was given, and nothing else; what a group leaves out (`retry`, `keepalive`) comes from `base`. */
const clientSettings = (given: GivenClient, base: ResolvedClientDefaults): Partial<ResolvedClientDefaults> => ({
  ...onlyIfGiven('loadBalancing', given.loadBalancing),
  ...onlyIfGiven('retry', given.retry === undefined ? undefined : retryOf(given.retry, base.retry)),
  ...onlyIfGiven(
    'retryableMethods',
    // Added up: a method that may be retried for all services may be retried for one.
    given.retryableMethods && Object.freeze([...new Set([...base.retryableMethods, ...given.retryableMethods])]),
  ),
  ...onlyIfGiven('deadlineMs', given.deadline),
  ...onlyIfGiven('waitForReady', given.waitForReady),
  ...onlyIfGiven(
    'keepalive',
    given.keepalive && {
      timeMs: given.keepalive.time ?? base.keepalive.timeMs,
      timeoutMs: given.keepalive.timeout ?? base.keepalive.timeoutMs,
    },
  ),
  ...onlyIfGiven('outlierDetection', given.outlierDetection),
  ...onlyIfGiven('zone', given.zone),
});

const retryOf = (
  given: Exclude<GivenClient['retry'], undefined>,
  base: ResolvedClientDefaults['retry'],
): ResolvedClientDefaults['retry'] => {
  if (given === false) return false;
  const rest = base === false ? RETRY_DEFAULTS : base;
  // One bound given alone may cross the other's default; what was given stands.
  const initialBackoffMs = given.initialBackoff ?? Math.min(rest.initialBackoffMs, given.maxBackoff ?? Infinity);
  return {
    maxAttempts: given.maxAttempts ?? rest.maxAttempts,
    initialBackoffMs,
    maxBackoffMs: given.maxBackoff ?? Math.max(rest.maxBackoffMs, initialBackoffMs),
    maxTokens: given.maxTokens ?? rest.maxTokens,
  };
};

/** A service may be called `constructor`; without a prototype that is just a name. */
const noServices = <T = never>(): Record<string, T> => Object.create(null) as Record<string, T>;

/** `{ key: value }`, or nothing at all: an option that is not given has no key, so that spreading keeps what was there. */
const onlyIfGiven = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
