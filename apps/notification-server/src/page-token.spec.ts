import { describe, expect, it } from 'vitest';
import { decodePageToken, encodePageToken } from './page-token.js';

describe('a page token', () => {
  it.each([
    { olderThanUs: 1_700_000_000_000_123, recipient: undefined },
    { olderThanUs: 5, recipient: 'añ/da' },
  ])('leads back to %j', (position) => {
    expect(decodePageToken(encodePageToken(position), position.recipient)).toEqual(position);
  });

  it('is not there on the first page', () => {
    expect(decodePageToken('', 'ada')).toBeUndefined();
    expect(decodePageToken(undefined, undefined)).toBeUndefined();
  });

  it('is refused with another filter', () => {
    const token = encodePageToken({ olderThanUs: 5, recipient: 'ada' });
    for (const other of [undefined, 'bob']) expect(() => decodePageToken(token, other)).toThrow(/another recipient/);
  });

  it.each([
    'x',
    'bm90IGpzb24',
    Buffer.from('{"a":1}').toString('base64url'),
    Buffer.from('[2,5]').toString('base64url'),
    Buffer.from('[1,"5"]').toString('base64url'),
    Buffer.from('[1,5,null,1]').toString('base64url'),
  ])('is refused when the service did not make it: %s', (token) => {
    expect(() => decodePageToken(token, undefined)).toThrow(/page_token: expected the next_page_token/);
  });
});
