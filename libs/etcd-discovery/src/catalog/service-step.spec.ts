import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instanceOf } from '../../test/grpc/support/fake-connection.js';
import type { KnownKey } from './known-key.js';
import { applyChanges, applyList, type KeyChange, type ServiceState, unknownService } from './service-state.js';

const known = (id: number, port: number, modRevision: number, kind: string): KnownKey => {
  const at = { key: `/services/echo/${id}`, createRevision: 1, modRevision };
  if (kind === 'broken') return { ...at, problem: 'broken' };
  const status = kind === 'draining' ? 'draining' : 'up';
  return { ...at, instance: instanceOf(String(id), `10.0.0.7:${port}`, { modRevision, status }) };
};

/** What the counts have to be, counted anew. */
const recount = ({ keys }: ServiceState): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const { instance } of keys.values()) {
    if (instance?.status === 'up') counts.set(instance.address, (counts.get(instance.address) ?? 0) + 1);
  }
  return counts;
};

const key = fc.record({
  id: fc.nat(6),
  // Fewer ports than ids, so that several ids share an address.
  port: fc.integer({ min: 1, max: 4 }),
  kind: fc.constantFrom('up', 'up', 'up', 'draining', 'broken', 'deleted'),
});

describe('whatever happens to a service', () => {
  it('its addresses are counted right, its instances sorted, and the state before it is left alone', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.array(key, { maxLength: 8 })), { maxLength: 12 }), (steps) => {
        let state = unknownService('echo');
        let revision = 10;
        for (const [isList, items] of steps) {
          const before = { addresses: new Map(state.addresses), keys: new Map(state.keys) };
          const last = state;
          if (isList) {
            const there = new Map(items.filter(({ kind }) => kind !== 'deleted').map((item) => [item.id, item]));
            const listed = [...there.values()].map(({ id, port, kind }) => known(id, port, ++revision, kind));
            state = applyList(state, listed, ++revision, revision).state;
          } else {
            const changes = items.map(({ id, port, kind }): KeyChange =>
              kind === 'deleted'
                ? { type: 'delete', key: `/services/echo/${id}`, modRevision: ++revision }
                : { type: 'put', known: known(id, port, ++revision, kind) },
            );
            state = applyChanges(state, changes, revision).state;
          }
          expect(state.addresses).toEqual(recount(state));
          const ids = state.snapshot?.instances.map(({ id }) => id) ?? [];
          expect(ids).toEqual(ids.toSorted());
          const up = [...state.keys.values()].filter(({ instance }) => instance?.status === 'up').length;
          expect(ids).toHaveLength(up + state.suspects.size);
          expect({ addresses: last.addresses, keys: last.keys }).toEqual(before);
        }
      }),
      { numRuns: 500 },
    );
  });
});
