import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import type { EventMessage, WatchResponse } from './etcd.messages.js';
import { etcdService } from './etcd.proto.js';
import { fragments } from './watch.fragment.js';

const sizeOf = (response: WatchResponse) => etcdService('Watch').Watch!.responseSerialize(response).length;
const event = (bytes: number, index: number): EventMessage => ({
  type: 0,
  kv: {
    key: Buffer.from(`k${index}`),
    value: Buffer.alloc(bytes),
    create_revision: 1,
    mod_revision: index + 1,
    version: 1,
    lease: '0',
  },
});
const MAX = 10_000;

describe('an answer that is too large', () => {
  it('comes in parts below the limit, in order; all but the last say so', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 12_000 }), { maxLength: 20 }), (sizes) => {
        const events = sizes.map(event);
        const response: WatchResponse = { header: { revision: 9 }, watch_id: '3', events };
        const parts = fragments(response, sizeOf, MAX);
        expect(parts.flatMap((part) => part.events)).toEqual(events);
        expect(parts.map(({ fragment = false }) => fragment)).toEqual(
          parts.map((_, index) => index < parts.length - 1),
        );
        for (const part of parts) {
          expect(part).toMatchObject({ header: { revision: 9 }, watch_id: '3' });
          if (part.events!.length > 1) expect(sizeOf(part)).toBeLessThan(MAX);
        }
        if (sizeOf(response) < MAX || events.length < 2) expect(parts).toEqual([response]);
      }),
    );
  });
});
