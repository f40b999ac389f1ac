import { describe, expect, it } from 'vitest';
import type { Draft } from './notification.js';
import { NotificationStore } from './notification.store.js';

const draft = (id: string, patch: Partial<Draft> = {}): Draft => ({
  id,
  recipient: 'ada',
  channel: 'CHANNEL_EMAIL',
  subject: '',
  body: 'hello',
  ...patch,
});

const ids = (notifications: readonly { id: string }[]) => notifications.map(({ id }) => id);

describe('putting', () => {
  it('answers the same notification with the first result', () => {
    const store = new NotificationStore(10);
    const first = store.put(draft('a'));
    const second = store.put(draft('a'));
    expect(first.outcome).toBe('accepted');
    expect(second).toEqual({ outcome: 'duplicate', notification: first.notification });
    expect(store.size).toBe(1);
  });

  it.each(['recipient', 'channel', 'subject', 'body'] as const)('refuses a known id with another %s', (field) => {
    const store = new NotificationStore(10);
    store.put(draft('a'));
    expect(store.put(draft('a', { [field]: field === 'channel' ? 'CHANNEL_SMS' : 'other' })).outcome).toBe('conflict');
    expect(store.get('a')).toMatchObject(draft('a'));
  });

  it('tells listeners of new notifications only, until they leave', () => {
    const store = new NotificationStore(10);
    const heard: string[] = [];
    const leave = store.onAccepted(({ id }) => heard.push(id));
    store.put(draft('a'));
    store.put(draft('a'));
    store.put(draft('a', { body: 'other' }));
    leave();
    store.put(draft('b'));
    expect(heard).toEqual(['a']);
  });
});

describe('a full store', () => {
  it('lets the oldest go, in every way they can be read', () => {
    const store = new NotificationStore(4);
    for (let index = 0; index < 25; index += 1) store.put(draft(`n${index}`));
    expect(store.size).toBe(4);
    expect(store.get('n20')).toBeUndefined();
    expect(store.get('n21')?.id).toBe('n21');
    expect(ids(store.list({ pageSize: 100 }).notifications)).toEqual(['n24', 'n23', 'n22', 'n21']);
  });

  it('takes an id again that it has let go', () => {
    const store = new NotificationStore(1);
    store.put(draft('a'));
    store.put(draft('b'));
    expect(store.put(draft('a', { body: 'other' })).outcome).toBe('accepted');
  });
});

describe('a wall clock that stands still or goes back', () => {
  it('does not reorder notifications', () => {
    const times = [1_000, 1_000, 500, 1_001];
    const store = new NotificationStore(10, () => times.shift() as number);
    const positions = ['a', 'b', 'c', 'd'].map((id) => store.put(draft(id)).notification.createdAtUs);
    expect(positions).toEqual([1_000_000, 1_000_001, 1_000_002, 1_001_000]);
  });
});

describe('listing', () => {
  const filled = (count: number) => {
    const store = new NotificationStore(1_000);
    for (let index = 0; index < count; index += 1) {
      store.put(draft(`n${index}`, { recipient: index % 2 === 0 ? 'even' : 'odd' }));
    }
    return store;
  };

  const pages = (store: NotificationStore, pageSize: number, recipient?: string) => {
    const all: string[][] = [];
    let olderThanUs: number | undefined;
    do {
      const page = store.list({ pageSize, olderThanUs, recipient });
      all.push(ids(page.notifications));
      olderThanUs = page.olderThanUs;
    } while (olderThanUs !== undefined);
    return all;
  };

  it('goes through all, newest first, each once', () => {
    expect(pages(filled(5), 2)).toEqual([['n4', 'n3'], ['n2', 'n1'], ['n0']]);
  });

  it('says that a full last page is the last', () => {
    expect(pages(filled(4), 2)).toEqual([
      ['n3', 'n2'],
      ['n1', 'n0'],
    ]);
  });

  it('keeps to a recipient across pages', () => {
    expect(pages(filled(7), 2, 'even')).toEqual([
      ['n6', 'n4'],
      ['n2', 'n0'],
    ]);
  });

  it('neither repeats nor skips when notifications come between two pages', () => {
    const store = filled(4);
    const first = store.list({ pageSize: 2 });
    store.put(draft('late'));
    const second = store.list({ pageSize: 2, olderThanUs: first.olderThanUs });
    expect([...ids(first.notifications), ...ids(second.notifications)]).toEqual(['n3', 'n2', 'n1', 'n0']);
  });

  it('is empty for an empty store and for an unknown recipient', () => {
    expect(pages(new NotificationStore(1), 10)).toEqual([[]]);
    expect(pages(filled(3), 10, 'nobody')).toEqual([[]]);
  });
});

it('refuses a capacity that cannot be', () => {
  for (const capacity of [0, -1, 1.5, Number.NaN]) expect(() => new NotificationStore(capacity)).toThrow(/capacity/);
});
