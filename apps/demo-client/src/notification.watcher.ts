import { defer, repeat, retry, type Subscription, tap, timer } from 'rxjs';
import type { CallStats } from './call-stats.js';
import type { NotificationClient } from './notification.client.js';

/** First pause before watching again, and the longest. */
const PAUSE_MS = { first: 100, most: 2_000 };

/**
 * Watches for new notifications all the time. A stream lives on one instance and ends with it; no client library may
 * repeat what was half delivered, so watching again is the application's part, and this is all it takes.
 */
export function keepWatching(client: NotificationClient, stats: () => CallStats): Subscription {
  let failures = 0;
  return defer(() => {
    stats().watchOpened();
    return client.watchNotifications({});
  })
    .pipe(
      tap(() => {
        failures = 0;
        stats().watchSaw();
      }),
      retry({ delay: () => timer(Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** failures++)) }),
      repeat({ delay: PAUSE_MS.first }),
    )
    .subscribe();
}
