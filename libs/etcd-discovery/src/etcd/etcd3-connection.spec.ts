import { afterEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../utils/clock.js';
import { AttemptFailure, Etcd3Connection } from './etcd3-connection.js';

describe('a call on a connection that is only just coming up', () => {
  let connection: Etcd3Connection;
  afterEach(() => connection.close('the test is over'));

  /** Makes a call of 2 s of which connecting takes `connectMs`. Nobody listens there: that counts as come up, too. */
  const callAfter = async (connectMs: number, timeoutMs = 2_000) => {
    let looks = 0;
    const clock: Clock = { now: () => (looks++ === 0 ? 0 : connectMs), after: systemClock.after };
    connection = new Etcd3Connection({ endpoint: '127.0.0.1:1', dialTimeoutMs: 5_000, etcd: {}, clock });
    const sent: unknown[] = [];
    const call = connection.unary(
      (_, options) => {
        sent.push(options);
        return Promise.resolve('answered');
      },
      { operation: 'range', timeoutMs },
    );
    return { sent, outcome: await call.catch((error: unknown) => error) };
  };

  it('is not sent when there is no time left for an answer, and blames nothing on the connection', async () => {
    for (const connectMs of [1_950, 2_000, 2_138]) {
      const { sent, outcome } = await callAfter(connectMs);
      expect(sent).toEqual([]);
      expect(outcome).toBeInstanceOf(AttemptFailure);
      expect(outcome).toMatchObject({ stage: 'dialing', error: { failure: 'unreachable' } });
      expect(String(outcome)).toContain('still connecting after 2000 ms');
    }
  });

  it('is sent when there is', async () => {
    expect(await callAfter(1_800)).toMatchObject({ outcome: 'answered', sent: [expect.anything()] });
  });

  it('is sent at once however little time it has, when the connection is up', async () => {
    expect(await callAfter(0, 20)).toMatchObject({ outcome: 'answered' });
  });
});
