import { describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { KeptShares } from './kept-shares.js';

const world = () => {
  const clock = new FakeClock();
  const share = { release: vi.fn() };
  const acquire = vi.fn(() => share);
  return { clock, share, acquire, kept: new KeptShares(clock, 60_000) };
};

describe('kept shares', () => {
  it('are given back when they were not used for their time', async () => {
    const { clock, share, acquire, kept } = world();
    for (let use = 0; use < 10; use += 1) {
      kept.use('s', acquire);
      await clock.advance(40_000);
    }
    expect(acquire).toHaveBeenCalledTimes(1);
    expect(share.release).not.toHaveBeenCalled();
    await clock.advance(19_999);
    expect(share.release).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(share.release).toHaveBeenCalledTimes(1);
    expect(clock.pending).toBe(0);
  });

  it('are acquired anew after that', async () => {
    const { clock, acquire, kept } = world();
    kept.use('s', acquire);
    await clock.advance(60_000);
    kept.use('s', acquire);
    expect(acquire).toHaveBeenCalledTimes(2);
  });

  it('keep nothing when acquiring fails', () => {
    const { clock, kept } = world();
    const fail = () => {
      throw new Error('no');
    };
    expect(() => kept.use('s', fail)).toThrow('no');
    expect(clock.pending).toBe(0);
  });

  it('are all given back at the close', () => {
    const { clock, share, acquire, kept } = world();
    kept.use('s', acquire);
    kept.use('t', acquire);
    kept.close();
    expect(share.release).toHaveBeenCalledTimes(2);
    expect(clock.pending).toBe(0);
  });
});
