import { status } from '@grpc/grpc-js';
import { ReplaySubject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { NotificationError } from './notification.errors.js';
import type { Draft } from './notification.js';
import { NotificationStore } from './notification.store.js';
import { MAX_WAITING, watchStore } from './notification.watch.js';

const draft = (id: string, recipient = 'ada'): Draft => ({
  id,
  recipient,
  channel: 'CHANNEL_SMS',
  subject: '',
  body: 'x',
});

const watching = (recipient?: string) => {
  const store = new NotificationStore(10_000);
  const output = { writableNeedDrain: false };
  const draining$ = new ReplaySubject<void>(1);
  const seen: string[] = [];
  const ends: unknown[] = [];
  const watch = () =>
    watchStore(store, { recipient, output, draining$ }).subscribe({
      next: ({ id }) => seen.push(id),
      error: (error: unknown) => ends.push(error),
      complete: () => ends.push('complete'),
    });
  return { store, output, draining$, seen, ends, watch, subscription: watch() };
};

describe('watching', () => {
  it('shows new notifications of the recipient asked for', () => {
    const { store, seen } = watching('ada');
    store.put(draft('a'));
    store.put(draft('b', 'bob'));
    store.put(draft('c'));
    expect(seen).toEqual(['a', 'c']);
  });

  it('ends with UNAVAILABLE and the drain trailer when the instance stops, and so does a watch begun after that', () => {
    const { store, draining$, seen, ends, watch } = watching();
    draining$.next();
    watch();
    store.put(draft('late'));
    expect(seen).toEqual([]);
    expect(ends).toHaveLength(2);
    for (const end of ends) {
      expect(end).toBeInstanceOf(NotificationError);
      const { code, metadata } = (end as NotificationError).getError() as {
        code: number;
        metadata: { get(key: string): unknown };
      };
      expect(code).toBe(status.UNAVAILABLE);
      expect(metadata.get('x-drain')).toEqual(['1']);
    }
  });

  it('gives up on a client that does not read, and forgives one that catches up', () => {
    const { store, output, seen, ends } = watching();
    output.writableNeedDrain = true;
    for (let index = 0; index < MAX_WAITING; index += 1) store.put(draft(`a${index}`));
    output.writableNeedDrain = false;
    store.put(draft('caught-up'));
    output.writableNeedDrain = true;
    for (let index = 0; index < MAX_WAITING; index += 1) store.put(draft(`b${index}`));
    expect(ends).toEqual([]);
    store.put(draft('one-too-many'));
    expect(ends.map((end) => (end as NotificationError).code)).toEqual([status.RESOURCE_EXHAUSTED]);
    expect(seen).toHaveLength(2 * MAX_WAITING + 1);
  });

  it('costs the store nothing after the client left', () => {
    const { store, seen, subscription } = watching();
    subscription.unsubscribe();
    store.put(draft('a'));
    expect(seen).toEqual([]);
  });
});
