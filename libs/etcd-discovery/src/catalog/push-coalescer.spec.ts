import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { PushCoalescer } from './push-coalescer.js';

const world = () => {
  const clock = new FakeClock();
  const pushes: number[] = [];
  return { clock, pushes, coalescer: new PushCoalescer(clock, () => pushes.push(clock.now())) };
};

describe('a push coalescer', () => {
  it('pushes the first change at once, and again after 100 ms of quiet', async () => {
    const { clock, pushes, coalescer } = world();
    coalescer.changed();
    await clock.advance(100);
    coalescer.changed();
    expect(pushes).toEqual([0, 100]);
    expect(clock.pending).toBe(0);
  });

  it('pushes a storm ten times a second and the last change of it too', async () => {
    const { clock, pushes, coalescer } = world();
    for (let change = 0; change < 1_000; change += 1) {
      coalescer.changed();
      await clock.advance(1);
    }
    await clock.advance(200);
    expect(pushes).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
  });

  it('counts a push that came without being asked', async () => {
    const { clock, pushes, coalescer } = world();
    coalescer.changed();
    coalescer.changed();
    await clock.advance(50);
    coalescer.pushed();
    await clock.advance(99);
    coalescer.changed();
    expect(pushes).toEqual([0]);
    await clock.advance(1);
    expect(pushes).toEqual([0, 150]);
  });

  it('forgets when cancelled', async () => {
    const { clock, pushes, coalescer } = world();
    coalescer.changed();
    coalescer.changed();
    coalescer.cancel();
    expect(clock.pending).toBe(0);
    await clock.advance(1_000);
    expect(pushes).toEqual([0]);
  });
});
