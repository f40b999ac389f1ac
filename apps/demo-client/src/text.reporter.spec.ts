import { describe, expect, it } from 'vitest';
import { CallStats } from './call-stats.js';
import { TextReporter } from './text.reporter.js';

describe('what people read', () => {
  it('is a line per second and a summary of all', () => {
    const lines: string[] = [];
    const reporter = new TextReporter((line) => lines.push(line));
    for (const failing of [false, true]) {
      const stats = new CallStats();
      stats.answered('Send', 'b', 2);
      stats.answered('Send', 'a', 2);
      if (failing) stats.failedWith('Send', '', 50, { code: 14, details: 'gone' });
      reporter.tell({ type: 'report', at: 0, phases: { run: stats.report() } });
    }
    reporter.tell({ type: 'done' });
    expect(lines).toEqual([
      '2 calls, 0 failed, p50 2.0 ms, p99 2.0 ms, a 1, b 1',
      '3 calls, 1 failed, p50 2.0 ms, p99 51 ms, a 1, b 1',
      '  1 × Send: UNAVAILABLE: gone',
      '',
      '5 calls, 1 failed, p50 2.0 ms, p99 51 ms',
      '  a: 2 calls',
      '  b: 2 calls',
      '  1 × Send: UNAVAILABLE: gone',
    ]);
  });

  it('says how the instances change', () => {
    const lines: string[] = [];
    new TextReporter((line) => lines.push(line)).tell({
      type: 'instance',
      at: 0,
      change: 'removed',
      id: 'a',
      address: '127.0.0.1:1',
      reason: 'drained',
    });
    expect(lines).toEqual(['removed a at 127.0.0.1:1 (drained)']);
  });
});
