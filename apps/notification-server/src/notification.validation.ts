import { invalidArgument, type FieldViolation } from './notification.errors.js';
import {
  CHANNELS,
  type Channel,
  type NotificationInput,
  type SendRequest,
} from '../../common/src/notification.messages.js';
import type { Draft } from './notification.js';

const ID = /^[A-Za-z0-9._-]{1,64}$/;
const MAX = { recipient: 254, subject: 200, body: 4096 };

/**
 * The notification of a request, checked.
 *
 * @throws INVALID_ARGUMENT that names every wrong field at once
 */
export function parseDraft(request: SendRequest): Draft {
  const input: NotificationInput | null | undefined = request.notification;
  if (input === undefined || input === null) {
    throw invalidArgument([{ field: 'notification', description: 'is missing' }]);
  }
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string) =>
    violations.push({ field: `notification.${field}`, description });
  const text = (field: 'recipient' | 'subject' | 'body', min: number): string => {
    const value = input[field] ?? '';
    if (typeof value !== 'string' || value.length < min || value.length > MAX[field]) {
      refuse(
        field,
        `expected ${min} to ${MAX[field]} characters, got ${typeof value === 'string' ? value.length : typeof value}`,
      );
      return '';
    }
    return value;
  };

  const id = checkId(input.id);
  if (id === undefined) refuse('id', 'expected 1 to 64 of A-Z a-z 0-9 . _ -');
  const recipient = text('recipient', 1);
  const channel = CHANNELS.find((known) => known === input.channel);
  if (channel === undefined) refuse('channel', `expected one of ${CHANNELS.join(', ')}`);
  const subject = text('subject', 0);
  const body = text('body', 1);
  if (violations.length > 0) throw invalidArgument(violations);
  return { id: id as string, recipient, channel: channel as Channel, subject, body };
}

/** @throws INVALID_ARGUMENT */
export function parseId(id: unknown): string {
  const checked = checkId(id);
  if (checked === undefined) {
    throw invalidArgument([{ field: 'id', description: 'expected 1 to 64 of A-Z a-z 0-9 . _ -' }]);
  }
  return checked;
}

/**
 * A filter by recipient; empty means everyone.
 *
 * @throws INVALID_ARGUMENT
 */
export function parseRecipientFilter(recipient: unknown): string | undefined {
  if (recipient === undefined || recipient === null || recipient === '') return undefined;
  if (typeof recipient !== 'string' || recipient.length > MAX.recipient) {
    throw invalidArgument([{ field: 'recipient', description: `expected at most ${MAX.recipient} characters` }]);
  }
  return recipient;
}

export const DEFAULT_PAGE_SIZE = 50;
export const MAX_PAGE_SIZE = 200;

/**
 * 0 means the default; more than the maximum means the maximum, as callers cannot know it.
 *
 * @throws INVALID_ARGUMENT for a negative size
 */
export function parsePageSize(pageSize: number | undefined): number {
  if (pageSize === undefined || pageSize === 0) return DEFAULT_PAGE_SIZE;
  if (!Number.isInteger(pageSize) || pageSize < 0) {
    throw invalidArgument([{ field: 'page_size', description: `expected 0 or more, got ${pageSize}` }]);
  }
  return Math.min(pageSize, MAX_PAGE_SIZE);
}

function checkId(id: unknown): string | undefined {
  return typeof id === 'string' && ID.test(id) ? id : undefined;
}
