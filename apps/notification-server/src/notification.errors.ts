import { Metadata, status } from '@grpc/grpc-js';
import { RpcException } from '@nestjs/microservices';

/** An answer of the service that is not the one hoped for: a gRPC status, and trailers where there are any. */
export class NotificationError extends RpcException {
  constructor(
    readonly code: status,
    readonly details: string,
    metadata?: Metadata,
  ) {
    super({ code, message: details, ...(metadata === undefined ? {} : { metadata }) });
  }
}

/** One wrong field and what was expected of it. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export const invalidArgument = (violations: readonly FieldViolation[]): NotificationError =>
  new NotificationError(
    status.INVALID_ARGUMENT,
    violations.map(({ field, description }) => `${field}: ${description}`).join('; '),
  );

/** @param instanceId who does not have it, in the trailer `x-instance`: another instance may */
export const notFound = (id: string, instanceId: string): NotificationError => {
  const trailers = new Metadata();
  trailers.set('x-instance', instanceId);
  return new NotificationError(status.NOT_FOUND, `no notification "${id}" on this instance`, trailers);
};

export const alreadyExists = (id: string): NotificationError =>
  new NotificationError(
    status.ALREADY_EXISTS,
    `notification "${id}" exists with another content; an id belongs to one notification`,
  );

export const resourceExhausted = (details: string): NotificationError =>
  new NotificationError(status.RESOURCE_EXHAUSTED, details);

/** Ends a stream of an instance that stops; the trailer tells it from a broken connection. */
export const draining = (): NotificationError => {
  const trailers = new Metadata();
  trailers.set('x-drain', '1');
  return new NotificationError(status.UNAVAILABLE, 'this instance is stopping; watch again to reach another', trailers);
};
