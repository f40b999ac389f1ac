import { describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { withinBound } from './within-bound.js';

describe('withinBound', () => {
  it('leaves no failure uncaught when nobody waits for the work any more', async () => {
    const uncaught = vi.fn();
    process.on('unhandledRejection', uncaught);
    try {
      const work = Promise.reject(new Error('login failed'));
      const reason = new Error('stopping');
      const bound = { clock: new FakeClock(), timeoutMs: 1_000, signal: AbortSignal.abort(reason) };
      await expect(withinBound(work, bound)).rejects.toBe(reason);
      // Node reports uncaught failures when the microtasks are done.
      await new Promise((resolve) => setImmediate(resolve));
      expect(uncaught).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', uncaught);
    }
  });

  it('tells the end of its time from a failure of the work', async () => {
    const clock = new FakeClock();
    const late = withinBound(new Promise(() => {}), { clock, timeoutMs: 1_000 });
    const failed = withinBound(Promise.reject(new Error('refused')), { clock, timeoutMs: 1_000 });
    await expect(failed).rejects.toThrow('refused');
    expect(failed.expired()).toBe(false);
    const over = expect(late).rejects.toThrow('not within 1000 ms');
    await clock.advance(1_000);
    await over;
    expect(late.expired()).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
