import { describe, expect, it } from 'vitest';
import { CallLoad } from './call-load.js';

describe('the load of one instance', () => {
  it('counts calls in flight', () => {
    const load = new CallLoad();
    load.start();
    load.start();
    load.end(0, 10);
    expect(load.inFlight).toBe(1);
  });

  it('weighs latencies by time, not by number', () => {
    const load = new CallLoad();
    load.end(0, 10);
    for (let i = 1; i <= 100; i++) load.end(i, 100);
    // 100 calls within a tenth of a second are a short episode …
    expect(load.ewmaMs).toBeLessThan(13);
    // … and one call after a long silence is the news.
    load.end(60_000, 200);
    expect(load.ewmaMs).toBeGreaterThan(199);
  });

  it('is not moved by a heavy tail', () => {
    const load = new CallLoad();
    // A call every 10 ms, one in twenty ten times slower: the mean would be 5.8 ms.
    for (let i = 0; i < 5_000; i++) load.end(i * 10, i % 20 === 0 ? 40 : 4);
    expect(load.ewmaMs).toBeLessThan(4.8);
  });

  it('learns nothing from refusals and streams', () => {
    const load = new CallLoad();
    load.end(0, 10);
    load.end(10_000, undefined);
    load.end(20_000, 3_600_000);
    expect(load.ewmaMs).toBeCloseTo(10);
  });
});
