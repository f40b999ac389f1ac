/**
 * Every reason this library fails with, for `switch` statements and metrics.
 * The list is part of the public contract: codes are added, never renamed.
 */
export type ErrorCode =
  | 'INVALID_OPTIONS'
  | 'INVALID_NAME'
  | 'SERVICE_UNAVAILABLE'
  | 'TIMEOUT'
  | 'ABORTED'
  | 'REGISTRATION_CONFLICT'
  | 'ETCD_UNAVAILABLE'
  | 'ETCD_AUTH'
  | 'ETCD_TLS'
  | 'CLOSED';

/** The one base error of the library. `code` tells what happened, `cause` carries what was underneath. */
export class EtcdDiscoveryError extends Error {
  override readonly name: string = 'EtcdDiscoveryError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Options that cannot work. The message lists every mistake with its path, what was given and what was expected. */
export class InvalidOptionsError extends EtcdDiscoveryError {
  override readonly name = 'InvalidOptionsError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('INVALID_OPTIONS', message, options);
  }
}

/** No live instance of a service; the message names the service, what etcd said last and when. */
export class ServiceUnavailableError extends EtcdDiscoveryError {
  override readonly name = 'ServiceUnavailableError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('SERVICE_UNAVAILABLE', message, options);
  }
}

/** Something that was waited for did not come in time; the message says what was missing. */
export class DiscoveryTimeoutError extends EtcdDiscoveryError {
  override readonly name = 'DiscoveryTimeoutError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('TIMEOUT', message, options);
  }
}

/** Another live process holds the instance id of a registration. */
export class RegistrationConflictError extends EtcdDiscoveryError {
  override readonly name = 'RegistrationConflictError';

  constructor(message: string, options?: { cause?: unknown }) {
    super('REGISTRATION_CONFLICT', message, options);
  }
}
