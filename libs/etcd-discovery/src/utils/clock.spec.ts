import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from './clock.js';

describe("the system's clock", () => {
  afterEach(() => void vi.useRealTimers());

  it.each([2, -2])('does not move when the wall clock is set by %i h', (hours) => {
    const before = systemClock.now();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 3_600_000 });
    // Slack for a machine that is busy.
    expect(Math.abs(systemClock.now() - before)).toBeLessThan(10_000);
  });
});
