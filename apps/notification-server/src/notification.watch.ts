import { Observable } from 'rxjs';
import { draining, resourceExhausted } from './notification.errors.js';
import type { Notification } from './notification.js';
import type { NotificationStore } from './notification.store.js';

/** What is used of the server side of a stream to see that its client reads too slowly. */
export interface StreamOutput {
  readonly writableNeedDrain: boolean;
}

/** Notifications that may wait for one client before its stream is ended. */
export const MAX_WAITING = 1_000;

/**
 * Notifications that the store takes from now on, until the client leaves, reads too slowly (RESOURCE_EXHAUSTED: what
 * waits for it is memory of ours), or the instance stops (UNAVAILABLE with the trailer `x-drain`).
 */
export function watchStore(
  store: NotificationStore,
  options: { recipient: string | undefined; output: StreamOutput; draining$: Observable<unknown> },
): Observable<Notification> {
  const { recipient, output, draining$ } = options;
  return new Observable((subscriber) => {
    let waiting = 0;
    subscriber.add(draining$.subscribe(() => subscriber.error(draining())));
    if (subscriber.closed) return;
    subscriber.add(
      store.onAccepted((notification) => {
        if (recipient !== undefined && notification.recipient !== recipient) return;
        waiting = output.writableNeedDrain ? waiting + 1 : 0;
        if (waiting > MAX_WAITING) {
          subscriber.error(resourceExhausted(`the watcher is more than ${MAX_WAITING} notifications behind`));
          return;
        }
        subscriber.next(notification);
      }),
    );
  });
}
