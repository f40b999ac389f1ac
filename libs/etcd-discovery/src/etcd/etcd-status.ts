import { EtcdDiscoveryError, type ErrorCode } from '../etcd-discovery.errors.js';

/** What a failed request to etcd means for whoever sent it. */
export type EtcdFailure =
  /** Nobody answered: refused, reset, timed out, no leader. Try another endpoint, then wait for the gate. */
  | 'unreachable'
  /** Wrong or missing credentials, or a token that is no longer valid. */
  | 'auth'
  /** The handshake failed: wrong authority, name, expiry, or plain text against TLS. */
  | 'tls'
  /** The lease of the request is gone. */
  | 'lease-not-found'
  /** The revision asked for has been compacted. */
  | 'compacted'
  /** The role may not do this. */
  | 'permission-denied'
  /** The backend is full (NOSPACE alarm): reads work, writes do not. */
  | 'no-space'
  /** The answer is larger than somebody between here and etcd lets pass (gRPC's 4 MB, where it applies): ask for less. */
  | 'too-large'
  /** The call was cancelled by us. */
  | 'cancelled'
  /** Anything else that etcd refused. */
  | 'refused';

/** An answer, or the lack of one, from etcd. The message never holds credentials. */
export class EtcdRequestError extends EtcdDiscoveryError {
  override readonly name = 'EtcdRequestError';

  constructor(
    readonly failure: EtcdFailure,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(codeOf[failure], message, options);
  }
}

const codeOf: Record<EtcdFailure, ErrorCode> = {
  unreachable: 'ETCD_UNAVAILABLE',
  auth: 'ETCD_AUTH',
  tls: 'ETCD_TLS',
  'lease-not-found': 'ETCD_UNAVAILABLE',
  compacted: 'ETCD_UNAVAILABLE',
  'permission-denied': 'ETCD_AUTH',
  'no-space': 'ETCD_UNAVAILABLE',
  'too-large': 'ETCD_UNAVAILABLE',
  cancelled: 'ABORTED',
  refused: 'ETCD_UNAVAILABLE',
};

/** True for an `EtcdRequestError` of that kind. */
export const isEtcdFailure = (error: unknown, ...failures: EtcdFailure[]): boolean =>
  error instanceof EtcdRequestError && failures.includes(error.failure);
