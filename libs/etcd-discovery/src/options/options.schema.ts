import type { z } from 'zod';
import { MIN_TTL_MS } from './defaults.js';
import { ENDPOINT_EXPECTED, readEndpoints } from './etcd-endpoints.js';
import { loadBalancing, metadata, settings } from './option-maps.js';
import * as fields from './option-fields.js';
import { describeGiven } from './option-mistake.js';
import {
  falseOr,
  field,
  type FieldResult,
  isMap,
  listOf,
  mapOf,
  oneOrMany,
  type Report,
  section,
} from './option-section.js';
import { readDuration } from './duration.js';

/** The options as they may be given: which keys there are, what each takes, and what must agree between them. */

// Below these a plain number was probably meant to be seconds, and a unit is asked for.
const SECONDS_FROM_MS = 100;
const SHORT_SECONDS_FROM_MS = 20;
const TTL_SECONDS_FROM_MS = 1000;

const tlsSection = section(
  {
    ca: fields.pem('certificate authorities', false).optional(),
    cert: fields.pem('the client certificate', false).optional(),
    key: fields.pem('the private key', true).optional(),
    serverName: fields.text('the name in the certificate of etcd').optional(),
  },
  (given, report) => {
    if (given.cert !== undefined && given.key === undefined) report("is missing; 'cert' needs it", ['key']);
    if (given.key !== undefined && given.cert === undefined) report("is missing; 'key' needs it", ['cert']);
  },
);

const checkEtcd = (given: Readonly<Record<string, unknown>>, report: Report): void => {
  const { username, password, endpoints, tls } = given;
  const hasUser = isGiven(username);
  if (isGiven(password) && !hasUser) report("is missing; 'password' is given", ['username']);
  if (hasUser && !isGiven(password)) {
    report("is missing; 'username' is given (or set ETCD_PASSWORD)", ['password']);
  }
  const schemes = new Set(readEndpoints(endpoints)?.map(({ scheme }) => scheme));
  if (schemes.has('https') && (schemes.has('http') || schemes.has(undefined))) {
    report('are partly https:// and partly not: one connection has one kind; write https:// everywhere', ['endpoints']);
  }
  if (schemes.has('http') && tls !== undefined) {
    report("say http://, 'tls' says encrypted: write https://, or take 'tls' out", ['endpoints']);
  }
};

const etcdSection = section(
  {
    endpoints: field((given): FieldResult<readonly string[]> => {
      const read = readEndpoints(given);
      const addresses = read?.map(({ address }) => address) ?? [];
      const usable = addresses.filter((address) => address !== undefined);
      if (usable.length > 0 && usable.length === addresses.length) return { value: [...new Set(usable)] };
      const bad = read?.find(({ address }) => address === undefined);
      const which = bad && Array.isArray(given) ? `, but one is ${describeGiven(bad.given)}` : '';
      return { expected: `${ENDPOINT_EXPECTED}${which}` };
    }),
    dialTimeout: fields.duration({ minMs: 1, numbersFromMs: SECONDS_FROM_MS }).optional(),
    username: fields.credential('a user name', false).optional(),
    password: fields.credential('a password', true).optional(),
    tls: tlsSection.optional(),
  },
  checkEtcd,
);

/** What may change while a service is registered. */
const changeable = {
  version: fields.label('a version').optional(),
  zone: fields.label('a zone').optional(),
  weight: fields.integer(1, 10_000).optional(),
  metadata: metadata().optional(),
};

export const registrationPatchSection = section(changeable);

export const registrationSection = section({
  ...changeable,
  name: fields.name('a service name'),
  addr: fields.listenAddress().optional(),
  transport: fields.oneOf('grpc', 'tcp', 'http').optional(),
  id: fields.name('an instance id').optional(),
  advertise: fields.advertise().optional(),
  ttl: fields.duration({ minMs: MIN_TTL_MS, numbersFromMs: TTL_SECONDS_FROM_MS }).optional(),
  mirror: section({
    goZero: fields.foreignKey("the key of a go-zero service, such as 'users.rpc'").optional(),
    plain: fields.bool().optional(),
  }).optional(),
});

const retrySection = section(
  {
    // gRFC A6 and grpc-js: an attempt is a call, so one attempt is no retry; more than 5 count as 5.
    maxAttempts: fields.integer(2, 5).optional(),
    initialBackoff: fields.duration({ minMs: 1 }).optional(),
    maxBackoff: fields.duration({ minMs: 1 }).optional(),
    maxTokens: fields.positiveNumber(1000).optional(),
  },
  (given, report) => {
    const initial = readDuration(given.initialBackoff);
    const max = readDuration(given.maxBackoff);
    if (initial !== undefined && max !== undefined && initial > max)
      report("is below 'initialBackoff'", ['maxBackoff']);
  },
);

const clientSection = section({
  loadBalancing: loadBalancing().optional(),
  retry: falseOr(retrySection).optional(),
  retryableMethods: listOf(fields.method()).optional(),
  deadline: fields.duration({ numbersFromMs: SHORT_SECONDS_FROM_MS }).optional(),
  waitForReady: fields.bool().optional(),
  keepalive: section({
    time: fields.duration({ minMs: 1, numbersFromMs: SECONDS_FROM_MS }).optional(),
    timeout: fields.duration({ minMs: 1, numbersFromMs: SECONDS_FROM_MS }).optional(),
  }).optional(),
  outlierDetection: falseOr(settings()).optional(),
  zone: fields.label('a zone').optional(),
});

const discoverySection = section({
  resolveTimeout: fields.duration({ numbersFromMs: SECONDS_FROM_MS }).optional(),
  suspectTimeout: fields.duration({ numbersFromMs: SECONDS_FROM_MS }).optional(),
  snapshotFile: fields.text('the path of a file').optional(),
  static: mapOf(oneOrMany(fields.callAddress()), fields.serviceKeyProblem).optional(),
  sources: listOf(
    section({
      service: fields.name('a service name'),
      prefix: fields.foreignKey('a key prefix'),
      format: fields.oneOf('etcd-naming', 'kratos', 'kitex', 'go-zero', 'go-micro', 'plain'),
    }),
  ).optional(),
  plainKeys: fields.bool().optional(),
  allowedCidrs: listOf(fields.cidr()).optional(),
  allowedPorts: listOf(fields.portRange()).optional(),
  allowLoopback: fields.bool().optional(),
});

/** Between the sections, and between the registrations. */
const checkAll = (given: Readonly<Record<string, unknown>>, report: Report): void => {
  if (given.etcd === undefined && given.enabled !== false) {
    report("is missing; expected a map with 'endpoints' (or set ETCD_ENDPOINTS, or `enabled: false`)", ['etcd']);
  }
  if (Array.isArray(given.registration)) checkTwins(given.registration, report);
};

/** One service may be served over several transports and ports, but a server is registered once. */
const checkTwins = (registrations: readonly unknown[], report: Report): void => {
  const seen = new Map<string, number>();
  registrations.forEach((entry, index) => {
    if (!isMap(entry) || typeof entry.name !== 'string') return;
    const identity = JSON.stringify([entry.name, entry.transport ?? 'grpc', entry.addr ?? null, entry.id ?? null]);
    const first = seen.get(identity);
    if (first === undefined) seen.set(identity, index);
    else
      report(`is the same as registration[${first}]: name, transport, addr and id are equal`, ['registration', index]);
  });
};

export const optionsSchema = section(
  {
    name: fields.name('a connection name').optional(),
    enabled: fields.bool().optional(),
    namespace: fields.namespace().optional(),
    failFast: fields.bool().optional(),
    etcd: etcdSection.optional(),
    registration: oneOrMany(registrationSection).optional(),
    shutdown: section({
      propagationWait: fields.duration({ numbersFromMs: SHORT_SECONDS_FROM_MS }).optional(),
      drainTimeout: fields.duration({ numbersFromMs: SHORT_SECONDS_FROM_MS }).optional(),
    }).optional(),
    discovery: discoverySection.optional(),
    health: fields.health().optional(),
    client: clientSection.optional(),
    services: mapOf(clientSection, fields.serviceKeyProblem).optional(),
  },
  checkAll,
);

export type GivenOptions = z.output<typeof optionsSchema>;
export type GivenRegistration = z.output<typeof registrationSection>;
export type GivenClient = z.output<typeof clientSection>;

const isGiven = (value: unknown): boolean => value !== undefined && value !== '';
