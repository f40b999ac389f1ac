import type { Channel, NotificationMessage } from '../../common/src/notification.messages.js';

/** What a caller says: valid, see `parseDraft`. */
export interface Draft {
  readonly id: string;
  readonly recipient: string;
  readonly channel: Channel;
  readonly subject: string;
  readonly body: string;
}

/** A notification that was taken. */
export interface Notification extends Draft {
  /** Microseconds since 1970. Strictly ascending within one store, so that it is also a position in it. */
  readonly createdAtUs: number;
}

export function sameContent(a: Draft, b: Draft): boolean {
  return a.recipient === b.recipient && a.channel === b.channel && a.subject === b.subject && a.body === b.body;
}

export function toMessage(notification: Notification): NotificationMessage {
  const { createdAtUs, ...draft } = notification;
  return {
    ...draft,
    createTime: { seconds: String(Math.floor(createdAtUs / 1e6)), nanos: (createdAtUs % 1e6) * 1_000 },
  };
}
