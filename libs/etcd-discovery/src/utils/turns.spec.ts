import { describe, expect, it } from 'vitest';
import { Turns } from './turns.js';

describe('a long work in pieces', () => {
  it('waits for the next turn only where a turn would hold too much', async () => {
    const turns = new Turns(10);
    expect(turns.before(4)).toBeUndefined();
    expect(turns.before(6)).toBeUndefined();
    let others = 0;
    setImmediate(() => others++);
    const wait = turns.before(1);
    expect(wait).toBeInstanceOf(Promise);
    await wait;
    expect(others).toBe(1);
    expect(turns.before(9)).toBeUndefined();
  });

  it('does not wait before a first piece, however large', () => {
    expect(new Turns(10).before(100)).toBeUndefined();
  });
});
