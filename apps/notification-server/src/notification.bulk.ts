import { status } from '@grpc/grpc-js';
import { map, type Observable, reduce } from 'rxjs';
import { alreadyExists, NotificationError, resourceExhausted } from './notification.errors.js';
import type { Rejection, SendRequest, SendSummary } from '../../common/src/notification.messages.js';
import type { NotificationStore } from './notification.store.js';
import { parseDraft } from './notification.validation.js';

export const MAX_BULK = 10_000;
export const MAX_REJECTIONS = 100;

/**
 * Takes a stream of notifications and counts what became of each. One that cannot be taken is counted and does not stop
 * the others.
 *
 * @returns one summary, at the end of the stream; errs with RESOURCE_EXHAUSTED beyond `MAX_BULK`
 */
export function takeAll(store: NotificationStore, requests: Observable<SendRequest>): Observable<SendSummary> {
  const counts = { accepted: 0, duplicates: 0, rejected: 0 };
  const rejections: Rejection[] = [];
  return requests.pipe(
    map((request, index) => {
      if (index >= MAX_BULK)
        throw resourceExhausted(`at most ${MAX_BULK} notifications in one stream; send the rest in another`);
      const failure = take(store, request, counts);
      if (failure === undefined) return;
      counts.rejected += 1;
      if (rejections.length >= MAX_REJECTIONS) return;
      const id = request.notification?.id;
      rejections.push({
        index,
        id: typeof id === 'string' ? id.slice(0, 64) : '',
        code: failure.code,
        message: failure.details,
      });
    }),
    reduce(() => undefined, undefined),
    map(() => ({ ...counts, rejections })),
  );
}

function take(
  store: NotificationStore,
  request: SendRequest,
  counts: { accepted: number; duplicates: number },
): NotificationError | undefined {
  try {
    const draft = parseDraft(request);
    const { outcome } = store.put(draft);
    if (outcome === 'conflict') return alreadyExists(draft.id);
    counts[outcome === 'accepted' ? 'accepted' : 'duplicates'] += 1;
    return undefined;
  } catch (error) {
    if (error instanceof NotificationError && error.code === status.INVALID_ARGUMENT) return error;
    throw error;
  }
}
