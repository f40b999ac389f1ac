import { beforeEach, describe, expect, it } from 'vitest';
import { type Commit, MvccStore } from './mvcc.store.js';

const b = (text: string) => Buffer.from(text);
const none = Buffer.alloc(0);
let moves: string[];
let store: MvccStore;
let commits: Commit[];
beforeEach(() => {
  moves = [];
  commits = [];
  store = new MvccStore({ move: (key, from, to) => moves.push(`${key}: ${from} → ${to}`) });
  store.onCommit((commit) => commits.push(commit));
});
const all = (revision?: number) =>
  store.range(b('a'), b('z'), { revision }).kvs.map(({ key, value }) => `${key.toString()}=${value.toString()}`);

describe('a transaction', () => {
  it('is one revision, told once, with its lease moves after it', () => {
    store.write((txn) => {
      txn.put(b('a'), b('1'), '7');
      txn.put(b('b'), b('1'), '0');
      expect(moves).toEqual([]);
    });
    expect([store.revision, commits.length, moves]).toEqual([2, 1, ['a: 0 → 7', 'b: 0 → 0']]);
    store.write((txn) => txn.delete(b('a'), b('z')));
    expect([store.revision, commits.length, moves.slice(2)]).toEqual([3, 2, ['a: 7 → 0', 'b: 0 → 0']]);
  });

  it('that changes nothing is no revision', () => {
    store.write((txn) => txn.delete(b('a'), b('z')));
    expect([store.revision, commits]).toEqual([1, []]);
  });

  it('that fails leaves nothing behind: no value, no key, no event, no lease', () => {
    store.write((txn) => txn.put(b('a'), b('1'), '7'));
    const before = { all: all(), revision: store.revision, moves: [...moves], commits: commits.length };
    expect(() =>
      store.write((txn) => {
        txn.put(b('b'), b('new'), '7');
        txn.delete(b('a'), none);
        txn.put(b('a'), b('again'), '0');
        txn.delete(b('a'), b('c'));
        throw new Error('refused');
      }),
    ).toThrow('refused');
    expect({ all: all(), revision: store.revision, moves, commits: commits.length }).toEqual(before);
    expect(store.range(b('a'), Buffer.from([0])).count).toBe(1);
    store.write((txn) => txn.put(b('a'), b('2'), '0'));
    expect(store.range(b('a'), none).kvs[0]).toMatchObject({ create_revision: 2, mod_revision: 3, version: 2 });
  });
});

describe('the log', () => {
  const fill = () => {
    for (const value of ['1', '2', '3']) store.write((txn) => txn.put(b('a'), b(value), '0'));
    store.write((txn) => txn.delete(b('a'), none));
    store.write((txn) => txn.put(b('b'), b('1'), '0'));
  };
  const revisions = (from: number, limit = 100) => store.commitsSince(from, limit).map(({ revision }) => revision);

  it('gives the commits from a revision on', () => {
    fill();
    expect([revisions(1), revisions(4), revisions(4, 2), revisions(6), revisions(7)]).toEqual([
      [2, 3, 4, 5, 6],
      [4, 5, 6],
      [4, 5],
      [6],
      [],
    ]);
  });

  it('keeps after a compaction what is from then on, and of that revision what still holds', () => {
    fill();
    store.compact(3);
    expect(revisions(3)).toEqual([3, 4, 5, 6]);
    expect(store.commitsSince(3, 1)[0]!.events).toHaveLength(1);
    store.compact(5);
    expect(store.commitsSince(5, 100).map(({ revision, events }) => [revision, events.length])).toEqual([
      [5, 0],
      [6, 1],
    ]);
    store.write((txn) => txn.put(b('c'), b('1'), '0'));
    expect(revisions(7)).toEqual([7]);
  });

  it('starts anew after everything was compacted', () => {
    store.compact(1);
    fill();
    expect(revisions(2)).toEqual([2, 3, 4, 5, 6]);
    store.compact(6);
    store.write((txn) => txn.put(b('d'), b('1'), '0'));
    expect(revisions(7)).toEqual([7]);
    expect(all(6)).toEqual(['b=1']);
  });
});
