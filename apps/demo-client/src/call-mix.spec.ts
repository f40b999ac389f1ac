import { Metadata, status } from '@grpc/grpc-js';
import { map, type Observable, of, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { CallMix } from './call-mix.js';
import type { Draft, NotificationClient } from './notification.client.js';

const fakeClient = () => {
  const sent: string[] = [];
  const asked: string[] = [];
  const client = {
    sendNotification: ({ notification }: { notification: Draft }) => {
      sent.push(notification.id);
      return of({ servedBy: 'one' });
    },
    getNotification: ({ id }: { id: string }) => {
      asked.push(id);
      return of({ servedBy: 'one' });
    },
    listNotifications: () => of({ servedBy: 'one' }),
    sendNotifications: (requests: Observable<{ notification: Draft }>) =>
      requests.pipe(
        toArray(),
        map((all) => {
          for (const { notification } of all) sent.push(notification.id);
          return { servedBy: 'one' };
        }),
      ),
  } as unknown as NotificationClient;
  return { client, sent, asked };
};

describe('the calls of a client', () => {
  it('come in fixed shares, with ids that never repeat, and ask for what was sent', async () => {
    const mix = new CallMix('c1');
    const { client, sent, asked } = fakeClient();
    const methods: Record<string, number> = {};
    for (let index = 0; index < 200; index += 1) {
      const call = mix.next();
      methods[call.method] = (methods[call.method] ?? 0) + 1;
      expect(await call.run(client)).toBe('one');
    }
    expect(methods).toEqual({
      SendNotification: 120,
      GetNotification: 40,
      ListNotifications: 20,
      SendNotifications: 20,
    });
    expect(new Set(sent).size).toBe(120 + 20 * 3);
    expect(asked.filter((id) => !sent.includes(id))).toEqual([]);
  });

  const failing = (code: status) => {
    const metadata = new Metadata();
    metadata.set('x-instance', 'two');
    return { getNotification: () => throwError(() => ({ code, metadata })) } as unknown as NotificationClient;
  };
  const get = () => {
    const mix = new CallMix('c1');
    for (;;) {
      const call = mix.next();
      if (call.method === 'GetNotification') return call;
    }
  };

  it('take NOT_FOUND of another instance as an answer, and nothing else', async () => {
    expect(await get().run(failing(status.NOT_FOUND))).toBe('two');
    await expect(get().run(failing(status.UNAVAILABLE))).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });
});
