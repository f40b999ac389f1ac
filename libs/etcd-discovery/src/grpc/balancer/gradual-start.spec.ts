import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.js';
import { GradualStart } from './gradual-start.js';

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

let clock: FakeClock;
let begun: number[];
let start: GradualStart<number>;

beforeEach(() => {
  clock = new FakeClock();
  begun = [];
  start = new GradualStart<number>(clock, (items) => begun.push(...items));
});

describe('the connections of a service', () => {
  it('begin at once where they are few', () => {
    start.start(numbers(0, 200));
    expect(begun).toEqual(numbers(0, 200));
    expect(start.isUnderWay).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it('begin little by little where they are many, each once and in order', async () => {
    start.start(numbers(0, 1_000));
    expect(begun).toHaveLength(200);
    expect(start.isUnderWay).toBe(true);
    for (let last = begun.length; last < 1_000; last = begun.length) {
      await clock.advance(2);
      expect(begun.length - last).toBe(20);
    }
    expect(begun).toEqual(numbers(0, 1_000));
    expect(start.isUnderWay).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it('are those of the last list', async () => {
    start.start(numbers(0, 1_000));
    start.start([]);
    await clock.advance(1_000);
    expect(begun).toHaveLength(200);
    start.start(numbers(5_000, 5_001));
    expect(begun.at(-1)).toBe(5_000);
    expect(clock.pending).toBe(0);
  });

  it('do not begin after the end', async () => {
    start.start(numbers(0, 1_000));
    start.stop();
    await clock.advance(1_000);
    expect(begun).toHaveLength(200);
    expect(clock.pending).toBe(0);
  });
});
