import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { addressOf, CallStats, describeError } from './call-stats.js';

describe('statistics of a phase', () => {
  it('count every call once, by instance and by method', () => {
    const stats = new CallStats();
    stats.answered('Get', 'a', 1);
    stats.answered('Send', 'b', 1);
    stats.failedWith('Send', '', 5, { code: status.UNAVAILABLE, details: 'gone' });
    const report = stats.report();
    expect(report).toMatchObject({
      calls: 3,
      failed: 1,
      instances: { a: { calls: 1, failed: 0 }, b: { calls: 1, failed: 0 }, '': { calls: 1, failed: 1 } },
      methods: { Get: { calls: 1, failed: 0 }, Send: { calls: 2, failed: 1 } },
      errors: { 'Send: UNAVAILABLE: gone': 1 },
    });
    expect(report.latency.reduce((sum, [, count]) => sum + count, 0)).toBe(3);
  });

  it('are empty until something happens', () => {
    const stats = new CallStats();
    expect(stats.empty).toBe(true);
    stats.watchOpened();
    expect(stats.empty).toBe(false);
  });
});

describe('errors', () => {
  it('that differ in times only are the same', () => {
    const text = (details: string) => describeError('Get', { code: status.DEADLINE_EXCEEDED, details });
    expect(text('Deadline exceeded after 1.003s')).toBe(text('Deadline exceeded after 1.2s'));
  });

  it('need not be those of gRPC', () => {
    expect(describeError('Get', new Error('odd'))).toBe('Get: ERROR: odd');
  });

  it('may name the address', () => {
    expect(addressOf({ details: 'Deadline exceeded after 1s,remote_addr=127.0.0.1:5000' })).toBe('127.0.0.1:5000');
    expect(addressOf({ details: 'nobody' })).toBeUndefined();
  });
});
