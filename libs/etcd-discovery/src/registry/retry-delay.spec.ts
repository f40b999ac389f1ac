import { describe, expect, it } from 'vitest';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import { RetryDelay } from './retry-delay.js';

describe('the delay before a failed request is made again', () => {
  const longest = (error: Error): number => {
    const retry = new RetryDelay(() => 1);
    return Math.max(...Array.from({ length: 20 }, () => retry.nextDelayMs(error)));
  };

  it('leaves a refused write time for its answer within 5 s of the cause being gone', () => {
    expect(longest(new EtcdRequestError('no-space', 'full'))).toBe(4_000);
  });

  it('is short when etcd was not reached, since the gate does the waiting', () => {
    expect(longest(new EtcdRequestError('unreachable', 'away'))).toBe(1_000);
  });
});
