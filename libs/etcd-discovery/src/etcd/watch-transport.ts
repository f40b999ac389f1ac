import type { EtcdHeader, KeyRange, WatchEvent } from './etcd-client.js';
import type { EtcdRequestError } from './etcd-status.js';

/** One message of the server on a watch stream, decoded. */
export interface WatchMessage {
  readonly header: EtcdHeader;
  /** −1 when the message is about no watch in particular: an answer to a progress request, or a refused create. */
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

export interface WatchStreamListener {
  message(message: WatchMessage): void;
  /** The stream is over; nothing comes afterwards. */
  end(error: EtcdRequestError): void;
}

/** An open stream. Nothing here throws; what fails arrives at the listener's `end`. */
export interface OpenedWatchStream {
  readonly endpoint: string;
  create(watchId: number, range: KeyRange, startRevision: number): void;
  cancel(watchId: number): void;
  requestProgress(): void;
  /** Ends the stream without a callback. `broken`: the connection under it is not to be used again. */
  destroy(broken: boolean): void;
  /** The server did not accept the token this stream was opened with; the next stream needs a new one. */
  tokenRefused(): void;
}

/** Connects if need be and opens a stream; rejects with `EtcdRequestError`. Bounded by itself. */
export type OpenWatchStream = (listener: WatchStreamListener) => Promise<OpenedWatchStream>;
