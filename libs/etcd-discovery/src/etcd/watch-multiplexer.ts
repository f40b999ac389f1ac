import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import type { WatchEnd, WatchHandle, WatchObserver } from './etcd-client.js';
import { type WatchRequest, WatchStream } from './watch-stream.js';
import type { OpenWatchStream } from './watch-transport.js';

export interface WatchMultiplexerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly open: OpenWatchStream;
}

/**
 * Puts every watch of the process on one stream. A second stream exists only for the time in which the first still
 * carries watches but takes no new ones, because the token it was opened with has run out.
 */
export class WatchMultiplexer {
  private current: WatchStream | undefined;
  private readonly streams = new Set<WatchStream>();
  private closed = false;

  constructor(private readonly deps: WatchMultiplexerDeps) {}

  /** Never calls the observer before it has returned. */
  watch(request: WatchRequest, observer: WatchObserver): WatchHandle {
    if (this.closed) return endSoon(observer, { reason: 'closed' });
    this.current ??= this.openStream();
    return { close: this.current.add(request, observer) };
  }

  /**
   * etcd was away and is back: a stream that seems to have outlived that has to show it. Its connection may have been
   * damaged with the others, and Node's HTTP/2 does not notice everything (a frame announced larger than any).
   */
  prove(): void {
    for (const stream of this.streams) stream.prove();
  }

  /** Ends every watch with `closed`; later ones end at once. */
  close(): void {
    this.closed = true;
    for (const stream of this.streams) stream.close({ reason: 'closed' });
    this.streams.clear();
  }

  private openStream(): WatchStream {
    const { clock, log, open } = this.deps;
    const stream = new WatchStream({
      clock,
      log,
      open,
      onUnusable: (unusable) => {
        if (this.current === unusable) this.current = undefined;
      },
      onClosed: (over) => this.streams.delete(over),
    });
    this.streams.add(stream);
    return stream;
  }
}

const endSoon = (observer: WatchObserver, end: WatchEnd): WatchHandle => {
  let told = false;
  queueMicrotask(() => {
    if (!told) observer.end(end);
  });
  return { close: () => (told = true) };
};
