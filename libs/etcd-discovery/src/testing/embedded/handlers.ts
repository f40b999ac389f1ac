import type { handleUnaryCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { notImplemented, toStatus } from './etcd.errors.js';

/** A unary method from a synchronous function: what it throws becomes the status of the call. */
export const unary =
  <Request, Response>(answer: (request: Request) => Response): handleUnaryCall<Request, Response> =>
  (call, callback) => {
    let response: Response;
    try {
      response = answer(call.request);
    } catch (error) {
      callback(toStatus(error));
      return;
    }
    callback(null, response);
  };

/** Completes an implementation: every method of the service that it lacks is refused by name. */
export const withRefusals = (
  service: ServiceDefinition,
  implementation: UntypedServiceImplementation,
): UntypedServiceImplementation => {
  const complete: UntypedServiceImplementation = { ...implementation };
  for (const [name, { path, responseStream }] of Object.entries(service)) {
    if (complete[name]) continue;
    complete[name] = responseStream
      ? (call: NodeJS.EventEmitter) => void call.emit('error', toStatus(notImplemented(path)))
      : unary(() => {
          throw notImplemented(path);
        });
  }
  return complete;
};
