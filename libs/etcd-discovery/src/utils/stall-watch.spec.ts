import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { StallWatch } from './stall-watch.js';

describe('a watch over the stalls of its own process', () => {
  const world = () => {
    const clock = new FakeClock();
    let asleepMs = 0;
    const stalls = new StallWatch({ now: () => clock.now() + asleepMs, after: (ms, fn) => clock.after(ms, fn) });
    return { clock, stalls, sleep: (ms: number) => (asleepMs += ms) };
  };

  it('sees none while time passes and timers run', async () => {
    const { clock, stalls } = world();
    await clock.advance(60_000);
    expect(stalls.longestMs).toBe(0);
    stalls.stop();
    expect(clock.pending).toBe(0);
  });

  it('sees one before its timer does, and remembers it', async () => {
    const { clock, stalls, sleep } = world();
    await clock.advance(1_700);
    sleep(5_000);
    expect(stalls.longestMs).toBeGreaterThan(4_500);
    await clock.advance(10_000);
    expect(stalls.longestMs).toBeGreaterThan(4_500);
    stalls.stop();
  });
});
