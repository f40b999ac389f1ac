import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { KeyIndex, keyBytes, keyText } from './key-index.js';

const kv = (revision: number) => ({
  key: Buffer.from('k'),
  value: Buffer.alloc(0),
  create_revision: 1,
  mod_revision: revision,
  version: 1,
  lease: '0',
});

describe('a key index', () => {
  it('orders keys by their bytes', () => {
    const order = (keys: Buffer[]) => keys.map(keyText).sort().map(keyBytes);
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 4 })), (arrays) => {
        const keys = arrays.map((array) => Buffer.from(array));
        expect(order(keys)).toEqual(keys.toSorted((a, b) => a.compare(b)));
      }),
    );
  });

  it('finds the keys of a range, whatever was added and removed before', () => {
    const name = fc.string({ maxLength: 3 });
    const step = fc.record({ add: fc.boolean(), key: name });
    fc.assert(
      fc.property(fc.array(step), name, fc.option(name, { nil: undefined }), (steps, from, to) => {
        const index = new KeyIndex();
        const model = new Set<string>();
        for (const { add, key } of steps) {
          if (add) {
            index.getOrCreate(key);
            model.add(key);
          } else {
            index.delete(key);
            model.delete(key);
          }
        }
        const expected = [...model].sort().filter((key) => key >= from && (to === undefined || key < to));
        expect(index.keys(from, to)).toEqual(expected);
      }),
    );
  });
});

describe('the history of a key', () => {
  const history = () => {
    const index = new KeyIndex();
    const versions = index.getOrCreate('k');
    for (const revision of [3, 5]) versions.push({ revision, kv: kv(revision) });
    versions.push({ revision: 8 });
    versions.push({ revision: 9, kv: kv(9) });
    return { index, versions };
  };
  const seen = (versions: ReturnType<typeof history>['versions']) =>
    [2, 3, 4, 5, 7, 8, 9, 10].map((revision) => versions.at(revision)?.mod_revision);

  it('tells the value at any revision', () => {
    expect(seen(history().versions)).toEqual([undefined, 3, 3, 5, 5, undefined, 9, 9]);
  });

  it('keeps on compaction what a later read can see', () => {
    const { index, versions } = history();
    index.compact(4);
    expect(seen(versions)).toEqual([undefined, 3, 3, 5, 5, undefined, 9, 9]);
    index.compact(8);
    expect(seen(versions)).toEqual([undefined, undefined, undefined, undefined, undefined, undefined, 9, 9]);
    expect(index.keys('')).toEqual(['k']);
  });

  it('is forgotten when its last version is a compacted tombstone', () => {
    const { index, versions } = history();
    versions.push({ revision: 12 });
    index.compact(11);
    expect(index.keys('')).toEqual(['k']);
    index.compact(12);
    expect(index.keys('')).toEqual([]);
    expect(index.get('k')).toBeUndefined();
  });
});
