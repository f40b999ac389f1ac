import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { encodeRangeEnd, decodeWatchMessage } from './etcd3-codec.js';
import type { EtcdRole } from './etcd3-role.js';
import { messageFor, toEtcdRequestError } from './etcd3-status.js';
import { EtcdRequestError } from './etcd-status.js';
import { encodeKey } from './key-codec.js';
import type { OpenWatchStream } from './watch-transport.js';

/** The watch stream over the driver's raw stub; `timeoutMs` bounds connecting and logging in. */
export const openWatchStream =
  (role: EtcdRole, timeoutMs: number): OpenWatchStream =>
  async (listener) => {
    const operation = 'watch';
    const { stream, call, token, connection } = await role.openStream<IDuplexStream<IWatchRequest, IWatchResponse>>(
      (driver, options) => driver.watchClient.watch(options),
      { operation, timeoutMs },
    );
    const context = { operation, endpoint: connection.endpoint };
    let over = false;
    const fail = (error: EtcdRequestError) => {
      if (over) return;
      over = true;
      role.rotation.failed(connection);
      listener.end(error);
    };
    const ended = (cause?: Error) => {
      const { status } = call;
      // A server that ends the stream without a complaint is stopping.
      const text = messageFor('unreachable', 'the server ended the stream', context);
      const plain = status?.code === 0 || (!status && !cause);
      fail(plain ? new EtcdRequestError('unreachable', text) : toEtcdRequestError(status ?? cause, context));
    };
    stream.on('error', ended);
    stream.on('end', () => ended());
    stream.on('data', (response) => {
      if (over) return;
      try {
        listener.message(decodeWatchMessage(response));
      } catch (error) {
        call.cancel('unreadable message');
        fail(toEtcdRequestError(error, context));
      }
    });
    const write = (request: IWatchRequest) => {
      if (!over) stream.write(request);
    };
    return {
      endpoint: connection.endpoint,
      create: (watchId, { key, rangeEnd }, startRevision) =>
        write({
          create_request: {
            key: encodeKey(key),
            ...encodeRangeEnd(rangeEnd),
            start_revision: startRevision,
            watch_id: watchId,
            progress_notify: true,
            fragment: true,
          },
        }),
      cancel: (watchId) => write({ cancel_request: { watch_id: watchId } }),
      requestProgress: () => write({ progress_request: {} }),
      destroy: (broken) => {
        if (over) return;
        over = true;
        call.cancel('no longer needed');
        if (broken) role.rotation.failed(connection);
      },
      tokenRefused: () => connection.dropToken(token),
    };
  };
