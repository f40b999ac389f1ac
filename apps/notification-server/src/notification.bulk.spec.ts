import { status } from '@grpc/grpc-js';
import { firstValueFrom, from, range } from 'rxjs';
import { map } from 'rxjs/operators';
import { describe, expect, it } from 'vitest';
import { MAX_BULK, MAX_REJECTIONS, takeAll } from './notification.bulk.js';
import type { SendRequest } from '../../common/src/notification.messages.js';
import { NotificationStore } from './notification.store.js';

const request = (id: string, body = 'x'): SendRequest => ({
  notification: { id, recipient: 'ada', channel: 'CHANNEL_PUSH', subject: '', body },
});

describe('a bulk', () => {
  it('is counted at its end, each notification by what became of it', async () => {
    const store = new NotificationStore(10);
    const requests = [request('a'), request('a'), request('a', 'other'), request('../b'), {}, request('c')];
    const summary = await firstValueFrom(takeAll(store, from(requests)));
    expect(summary).toMatchObject({ accepted: 2, duplicates: 1, rejected: 3 });
    expect(summary.rejections.map(({ index, id, code }) => [index, id, code])).toEqual([
      [2, 'a', status.ALREADY_EXISTS],
      [3, '../b', status.INVALID_ARGUMENT],
      [4, '', status.INVALID_ARGUMENT],
    ]);
    expect(store.size).toBe(2);
  });

  it('may be empty', async () => {
    const summary = await firstValueFrom(takeAll(new NotificationStore(10), from([])));
    expect(summary).toEqual({ accepted: 0, duplicates: 0, rejected: 0, rejections: [] });
  });

  it('explains no more rejections than it says', async () => {
    const summary = await firstValueFrom(
      takeAll(new NotificationStore(10), range(0, MAX_REJECTIONS + 5).pipe(map(() => ({})))),
    );
    expect(summary.rejected).toBe(MAX_REJECTIONS + 5);
    expect(summary.rejections).toHaveLength(MAX_REJECTIONS);
  });

  it('has a bound', async () => {
    const tooMany = range(0, MAX_BULK + 1).pipe(map((index) => request(`n${index}`)));
    await expect(firstValueFrom(takeAll(new NotificationStore(10), tooMany))).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
  });
});
