import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.js';
import { CallLoad } from './call-load.js';

const scene = () => {
  const clock = new FakeClock();
  const load = new CallLoad(clock);
  /** A call of that length, which begins now. */
  const call = async (latencyMs: number, tellsLatency = true) => {
    const one = load.start();
    await clock.advance(latencyMs);
    load.end(one, tellsLatency);
  };
  return { clock, load, call };
};

describe('the load of one instance', () => {
  it('counts calls in flight', () => {
    const { load } = scene();
    const first = load.start();
    load.start();
    load.end(first, true);
    expect([load.inFlight, load.recentInFlight]).toEqual([1, 1]);
  });

  it('does not take a stream for work', async () => {
    const { clock, load } = scene();
    const stream = load.start();
    await clock.advance(3_000);
    const call = load.start();
    expect(load.recentInFlight).toBe(2);
    await clock.advance(2_000);
    expect([load.inFlight, load.recentInFlight]).toEqual([2, 1]);
    load.end(call, true);
    const known = load.ewmaMs;
    load.end(stream, true);
    expect([load.inFlight, load.recentInFlight, load.ewmaMs]).toEqual([0, 0, known]);
  });

  it('leaves no timer behind', () => {
    const { clock, load } = scene();
    load.start();
    load.close();
    expect(clock.pending).toBe(0);
  });

  it('weighs latencies by time, not by number', async () => {
    const { clock, load, call } = scene();
    for (let i = 1; i <= 20; i++) await call(10);
    for (let i = 1; i <= 10; i++) await call(100);
    // Ten calls within a second are a short episode …
    expect(load.ewmaMs).toBeLessThan(20);
    // … and one call after a long silence is the news.
    await clock.advance(60_000);
    await call(200);
    expect(load.ewmaMs).toBeGreaterThan(199);
  });

  it('does not hold a slow first call against the instance', async () => {
    const { load, call } = scene();
    await call(200);
    for (let i = 1; i <= 15; i++) await call(4);
    expect(load.ewmaMs).toBeLessThan(6);
    load.forgetLatency();
    await call(50);
    expect(load.ewmaMs).toBeCloseTo(50);
  });

  it('is not moved by a heavy tail', async () => {
    const { clock, load, call } = scene();
    // One call in twenty is ten times slower: the mean would be 5.8 ms.
    for (let i = 0; i < 2_000; i++) {
      const latencyMs = i % 20 === 0 ? 40 : 4;
      await call(latencyMs);
      await clock.advance(50 - latencyMs);
    }
    expect(load.ewmaMs).toBeLessThan(4.8);
  });

  it('learns nothing from refusals', async () => {
    const { clock, load, call } = scene();
    await call(10);
    await clock.advance(10_000);
    await call(1, false);
    expect(load.ewmaMs).toBeCloseTo(10);
  });
});
