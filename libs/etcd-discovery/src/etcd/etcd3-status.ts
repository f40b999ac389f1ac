import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { type EtcdFailure, EtcdRequestError } from './etcd-status.js';

/** What was asked of whom, for the message. */
export interface RequestContext {
  /** `range`, `txn`, `login`, … */
  readonly operation: string;
  /** `host:port`. */
  readonly endpoint: string;
}

/** gRPC status of a call as it came off the wire. */
export interface CallStatus {
  readonly code: number;
  readonly details: string;
}

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html; numbers, so that the table does not depend on the driver. */
const CANCELLED = 1;
const UNKNOWN = 2;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/**
 * What etcd (3.4 to 3.6) says, by the words of `api/v3rpc/rpctypes/error.go`: its codes are too coarse, a wrong
 * password and an oversized request are both INVALID_ARGUMENT. First match wins.
 */
const BY_WORDS: readonly (readonly [RegExp, EtcdFailure])[] = [
  [/requested lease not found/i, 'lease-not-found'],
  [/required revision has been compacted/i, 'compacted'],
  [/database space exceeded/i, 'no-space'],
  [/message larger than max/i, 'too-large'],
  [/invalid auth token|user name is empty|authentication failed|invalid user ID or password/i, 'auth'],
  // A token that was issued before the last change of a user or role ("auth: revision in header is old" inside etcd).
  [/revision of auth store is old|revision in header is old|user name not found/i, 'auth'],
  [/permission denied/i, 'permission-denied'],
  [/no leader|leader changed|request timed out|server stopped|unhealthy cluster|not capable/i, 'unreachable'],
];

/** The handshake, not the network: OpenSSL's and Node's words. */
const TLS_WORDS =
  /certificate|altname|self.signed|\bSSL\b|\bTLS\b|\bPEM\b|EPROTO|wrong version number|handshake|issuer/i;

/** Failures that say nothing about etcd's state except that it cannot be used from here. */
const CONNECTIVITY: readonly EtcdFailure[] = ['unreachable', 'auth', 'tls'];

export const isConnectivityFailure = (error: EtcdRequestError): boolean => CONNECTIVITY.includes(error.failure);

/**
 * Turns whatever a request failed with into the one error of this port. Total: everything maps, our own errors
 * unchanged. The message names operation and endpoint and carries no more of the request than that.
 */
export const toEtcdRequestError = (error: unknown, context: RequestContext): EtcdRequestError => {
  if (error instanceof EtcdRequestError) return error;
  const status = statusOf(error);
  const failure = status ? failureOfStatus(status) : failureOfOther(error);
  const text = readable(status?.details ?? messageOf(error));
  return new EtcdRequestError(failure, messageFor(failure, text, context), { cause: error });
};

/** What the words of a refused watch mean; `undefined` words are a plain refusal. */
export const failureOfWords = (words: string): EtcdFailure =>
  BY_WORDS.find(([pattern]) => pattern.test(words))?.[1] ?? 'refused';

export const messageFor = (failure: EtcdFailure, text: string, { operation, endpoint }: RequestContext): string => {
  switch (failure) {
    case 'unreachable':
      return `etcd at ${endpoint} cannot be reached (${operation}): ${text}`;
    case 'auth':
      return `etcd at ${endpoint} does not accept our credentials (${operation}): ${text}; check etcd.username and etcd.password`;
    case 'tls':
      return `No secure connection to etcd at ${endpoint} (${operation}): ${text}; check etcd.tls`;
    case 'no-space':
      return `etcd at ${endpoint} is full and refuses writes (${operation}): ${text}; compact, defragment and disarm its alarm`;
    case 'cancelled':
      return `${operation} at etcd ${endpoint} was cancelled: ${text}`;
    default:
      return `etcd at ${endpoint} refused ${operation}: ${text}`;
  }
};

const failureOfStatus = ({ code, details }: CallStatus): EtcdFailure => {
  const byWords = failureOfWords(details);
  if (byWords !== 'refused') return byWords;
  const fromEtcd = /etcdserver:|^(auth|mvcc|lease): /.test(details);
  switch (code) {
    case UNAVAILABLE:
      return !fromEtcd && TLS_WORDS.test(details) ? 'tls' : 'unreachable';
    case DEADLINE_EXCEEDED:
      return 'unreachable';
    // Our own cancellations never come through here: the stream was reset by the other side.
    case CANCELLED:
    case INTERNAL:
      return fromEtcd ? 'refused' : 'unreachable';
    case UNKNOWN:
      return fromEtcd ? 'refused' : 'unreachable';
    case PERMISSION_DENIED:
      return 'permission-denied';
    case UNAUTHENTICATED:
      return 'auth';
    default:
      // RESOURCE_EXHAUSTED of the transport: a GOAWAY with ENHANCE_YOUR_CALM.
      return /bandwidth exhausted/i.test(details) ? 'unreachable' : 'refused';
  }
};

/** Errors that never were a gRPC status: sockets, files, and programming errors. */
const failureOfOther = (error: unknown): EtcdFailure => {
  if (error instanceof EtcdDiscoveryError) return 'refused';
  const text = `${codeOf(error) ?? ''} ${messageOf(error)}`;
  if (/\bE(CONN\w+|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN)\b/.test(text)) return 'unreachable';
  return TLS_WORDS.test(text) || /ERR_OSSL/.test(text) ? 'tls' : failureOfWords(text);
};

const statusOf = (error: unknown): CallStatus | undefined => {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, details, message } = error as { code?: unknown; details?: unknown; message?: unknown };
  if (typeof code === 'number') return { code, details: typeof details === 'string' ? details : String(message) };
  // etcd3 rebuilds unary errors from their message and drops the code: "14 UNAVAILABLE: …".
  const rebuilt = /^(\d{1,2}) [A-Z_]+: (.*)$/s.exec(messageOf(error));
  return rebuilt ? { code: Number(rebuilt[1]), details: rebuilt[2]! } : undefined;
};

const codeOf = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
};

const messageOf = (error: unknown): string => {
  if (error instanceof Error) return error.message;
  try {
    return String(error);
  } catch {
    return 'unknown error';
  }
};

/** Takes grpc-js's wrapping off: a person wants to read "connect ECONNREFUSED 127.0.0.1:2379". */
const readable = (details: string): string =>
  details
    .replace(/^No connection established\. Last error: (Error: )?/, '')
    .replace(/^Name resolution failed for target \S+: /, '')
    .replace(/\.? Resolution note: ?$/, '')
    .replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/, '')
    .replace(
      /^Failed to connect$/,
      'the connection was closed at once (does it expect TLS, or stand for a server that is down?)',
    )
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, 500) || 'no reason given';
