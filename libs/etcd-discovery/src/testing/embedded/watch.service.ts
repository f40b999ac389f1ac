import type { handleBidiStreamingCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { WatchRequest, WatchResponse } from './etcd.messages.js';
import { fragments } from './watch.fragment.js';
import { type WatchSink, WatchStream, type WatchStreamDeps } from './watch.stream.js';

/** So many answers may wait to be sent before a watch is treated as slow (`chanBufLen` of etcd). */
const MAX_UNSENT_ANSWERS = 128;

/** etcd.Watch over `deps.state`. */
export const watchService = (
  deps: Omit<WatchStreamDeps, 'sink'>,
  definition: ServiceDefinition,
): UntypedServiceImplementation => {
  const sizeOf = (response: WatchResponse): number => definition.Watch!.responseSerialize(response).length;

  const watch: handleBidiStreamingCall<WatchRequest, WatchResponse> = (call) => {
    let unsent = 0;
    const sink: WatchSink = {
      get congested() {
        return unsent >= MAX_UNSENT_ANSWERS;
      },
      send(response, fragment) {
        for (const part of fragment ? fragments(response, sizeOf) : [response]) {
          unsent++;
          call.write(part, () => {
            if (unsent-- === MAX_UNSENT_ANSWERS) stream.drained();
          });
        }
      },
    };
    const stream = new WatchStream({ ...deps, sink });
    call.on('data', (request: WatchRequest) => stream.handle(request));
    // A client that has said all is still told: as in etcd only the end of the call ends its watches.
    call.on('cancelled', () => stream.close());
    call.on('close', () => stream.close());
    // A broken connection: there is nobody left to tell.
    call.on('error', () => stream.close());
  };
  return { Watch: watch };
};
