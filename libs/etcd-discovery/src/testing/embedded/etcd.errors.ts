import { status } from '@grpc/grpc-js';

/** An answer that etcd refuses a request with: gRPC status code and message, as `rpctypes/error.go` lists them. */
export class EtcdStatusError extends Error {
  override readonly name = 'EtcdStatusError';

  constructor(
    readonly code: status,
    readonly details: string,
  ) {
    super(details);
  }
}

const refusal = (code: status, details: string) => (): EtcdStatusError =>
  new EtcdStatusError(code, `etcdserver: ${details}`);

/** What etcd 3.4 answers, word for word: clients match on these texts. */
export const etcdErrors = {
  emptyKey: refusal(status.INVALID_ARGUMENT, 'key is not provided'),
  keyNotFound: refusal(status.INVALID_ARGUMENT, 'key not found'),
  valueProvided: refusal(status.INVALID_ARGUMENT, 'value is provided'),
  leaseProvided: refusal(status.INVALID_ARGUMENT, 'lease is provided'),
  tooManyOps: refusal(status.INVALID_ARGUMENT, 'too many operations in txn request'),
  duplicateKey: refusal(status.INVALID_ARGUMENT, 'duplicate key given in txn request'),
  requestTooLarge: refusal(status.INVALID_ARGUMENT, 'request is too large'),
  compacted: refusal(status.OUT_OF_RANGE, 'mvcc: required revision has been compacted'),
  futureRevision: refusal(status.OUT_OF_RANGE, 'mvcc: required revision is a future revision'),
  noSpace: refusal(status.RESOURCE_EXHAUSTED, 'mvcc: database space exceeded'),
  leaseNotFound: refusal(status.NOT_FOUND, 'requested lease not found'),
  leaseExists: refusal(status.FAILED_PRECONDITION, 'lease already exists'),
  leaseTtlTooLarge: refusal(status.OUT_OF_RANGE, 'too large lease TTL'),
  authNotEnabled: refusal(status.FAILED_PRECONDITION, 'authentication is not enabled'),
} as const;

/** The refusal of a method that only a real etcd has. */
export const notImplemented = (path: string): EtcdStatusError =>
  new EtcdStatusError(
    status.UNIMPLEMENTED,
    `embedded etcd: ${path.replace('/etcdserverpb.', '')} is not implemented; use a real etcd where it is needed`,
  );

/** The status to answer with when a handler threw `error`. */
export const toStatus = (error: unknown): { code: status; details: string } =>
  error instanceof EtcdStatusError
    ? { code: error.code, details: error.details }
    : { code: status.INTERNAL, details: `embedded etcd: ${error instanceof Error ? error.message : String(error)}` };
