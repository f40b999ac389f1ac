import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { NotificationError } from './notification.errors.js';
import type { NotificationInput } from '../../common/src/notification.messages.js';
import { parseDraft, parseId, parsePageSize, parseRecipientFilter } from './notification.validation.js';

const valid: NotificationInput = {
  id: 'order-1',
  recipient: 'ada@example.org',
  channel: 'CHANNEL_EMAIL',
  subject: 'Order',
  body: 'It is on its way.',
};

const refusal = (run: () => unknown): NotificationError => {
  try {
    run();
  } catch (error) {
    if (error instanceof NotificationError) return error;
    throw error;
  }
  throw new Error('expected a refusal');
};

describe('a notification', () => {
  it('is taken as it is, without what callers may not set', () => {
    expect(parseDraft({ notification: { ...valid, createTime: { seconds: '1', nanos: 0 } } })).toEqual(valid);
  });

  it.each([
    ['id', ''],
    ['id', '../x'],
    ['id', 'x'.repeat(65)],
    ['id', 'line\nbreak'],
    ['recipient', ''],
    ['recipient', 'x'.repeat(255)],
    ['channel', 'CHANNEL_UNSPECIFIED'],
    ['channel', 7],
    ['subject', 'x'.repeat(201)],
    ['body', ''],
    ['body', 'x'.repeat(4097)],
  ] as const)('is refused for its %s %j, by name', (field, value) => {
    const { code, details } = refusal(() => parseDraft({ notification: { ...valid, [field]: value } }));
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(details).toMatch(new RegExp(`^notification\\.${field}: expected [^;]+$`));
  });

  it('names all wrong fields at once', () => {
    const { details } = refusal(() => parseDraft({ notification: {} }));
    expect(details.match(/notification\.\w+/g)).toEqual([
      'notification.id',
      'notification.recipient',
      'notification.channel',
      'notification.body',
    ]);
  });

  it.each([{}, { notification: null }])('is missing in %j', (request) => {
    expect(refusal(() => parseDraft(request)).details).toBe('notification: is missing');
  });
});

describe('other arguments', () => {
  it('reads a page size: 0 is the default, too much is the maximum, less than nothing is wrong', () => {
    expect([parsePageSize(undefined), parsePageSize(0), parsePageSize(7), parsePageSize(5_000)]).toEqual([
      50, 50, 7, 200,
    ]);
    expect(refusal(() => parsePageSize(-1)).details).toBe('page_size: expected 0 or more, got -1');
  });

  it('reads an id and a recipient filter', () => {
    expect(parseId('a.b_c-1')).toBe('a.b_c-1');
    expect(refusal(() => parseId('a/b')).details).toMatch(/^id: /);
    expect(parseRecipientFilter('')).toBeUndefined();
    expect(parseRecipientFilter('ada')).toBe('ada');
    expect(refusal(() => parseRecipientFilter('x'.repeat(255))).details).toMatch(/^recipient: /);
  });
});
