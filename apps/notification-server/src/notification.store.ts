import { sameContent, type Draft, type Notification } from './notification.js';

export type PutResult =
  | { readonly outcome: 'accepted' | 'duplicate'; readonly notification: Notification }
  | { readonly outcome: 'conflict'; readonly notification: Notification };

export interface Page {
  readonly notifications: readonly Notification[];
  /** Where the next page starts; undefined on the last one. */
  readonly olderThanUs: number | undefined;
}

/**
 * The latest notifications, in memory. Holds at most `capacity`; the oldest goes when a new one comes, because a
 * notification service that refuses new ones to keep old ones helps nobody.
 */
export class NotificationStore {
  private readonly byId = new Map<string, Notification>();
  /** Ascending by `createdAtUs`; the first `head` entries are gone. */
  private log: Notification[] = [];
  private head = 0;
  private lastUs = 0;
  private readonly listeners = new Set<(notification: Notification) => void>();

  /** @param nowMs wall clock, milliseconds since 1970 */
  constructor(
    readonly capacity: number,
    private readonly nowMs: () => number = Date.now,
  ) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`the store's capacity must be an integer of at least 1, got ${capacity}`);
    }
  }

  get size(): number {
    return this.byId.size;
  }

  /** Takes a notification, or says what became of its id before. Who watches hears of new ones only. */
  put(draft: Draft): PutResult {
    const known = this.byId.get(draft.id);
    if (known !== undefined)
      return { outcome: sameContent(known, draft) ? 'duplicate' : 'conflict', notification: known };
    // A wall clock may stand still or go back; positions may not.
    this.lastUs = Math.max(this.nowMs() * 1_000, this.lastUs + 1);
    const notification: Notification = Object.freeze({ ...draft, createdAtUs: this.lastUs });
    if (this.byId.size >= this.capacity) this.evictOldest();
    this.byId.set(notification.id, notification);
    this.log.push(notification);
    for (const listener of this.listeners) listener(notification);
    return { outcome: 'accepted', notification };
  }

  get(id: string): Notification | undefined {
    return this.byId.get(id);
  }

  /** Newest first. */
  list(options: { pageSize: number; olderThanUs?: number | undefined; recipient?: string | undefined }): Page {
    const { pageSize, olderThanUs = Number.POSITIVE_INFINITY, recipient } = options;
    const notifications: Notification[] = [];
    for (let index = this.firstNotBefore(olderThanUs) - 1; index >= this.head; index -= 1) {
      const notification = this.log[index] as Notification;
      if (recipient !== undefined && notification.recipient !== recipient) continue;
      // One more than asked for: there is a next page.
      if (notifications.length === pageSize) return { notifications, olderThanUs: notifications.at(-1)?.createdAtUs };
      notifications.push(notification);
    }
    return { notifications, olderThanUs: undefined };
  }

  /** Calls `listener` for every notification that is taken from now on. */
  onAccepted(listener: (notification: Notification) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private evictOldest(): void {
    const oldest = this.log[this.head];
    if (oldest === undefined) return;
    this.byId.delete(oldest.id);
    this.head += 1;
    // Moving the rest down for each one would cost O(capacity) per call; once per half a store it costs O(1).
    if (this.head > this.capacity / 2) {
      this.log = this.log.slice(this.head);
      this.head = 0;
    }
  }

  /** Index of the first entry that is not older than the position. */
  private firstNotBefore(us: number): number {
    let low = this.head;
    let high = this.log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.log[middle] as Notification).createdAtUs < us) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
