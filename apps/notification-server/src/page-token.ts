import { invalidArgument } from './notification.errors.js';

/** Where a list goes on: older than this position, with this filter. */
export interface PagePosition {
  readonly olderThanUs: number;
  readonly recipient: string | undefined;
}

/** Opaque to callers, and bound to the filter it was made for. */
export function encodePageToken({ olderThanUs, recipient }: PagePosition): string {
  return Buffer.from(JSON.stringify(recipient === undefined ? [1, olderThanUs] : [1, olderThanUs, recipient])).toString(
    'base64url',
  );
}

/**
 * @returns undefined for the empty token: the first page
 * @throws INVALID_ARGUMENT for a token that this service did not make, or made for another filter
 */
export function decodePageToken(token: string | undefined, recipient: string | undefined): PagePosition | undefined {
  if (token === undefined || token === '') return undefined;
  const refuse = (description: string) => invalidArgument([{ field: 'page_token', description }]);
  const [version, olderThanUs, madeFor, ...rest] = parse(token);
  if (version !== 1 || !Number.isSafeInteger(olderThanUs) || rest.length > 0) {
    throw refuse('expected the next_page_token of an earlier answer');
  }
  if (madeFor !== recipient) throw refuse('was made for another recipient; a filter stays the same on every page');
  return { olderThanUs: olderThanUs as number, recipient };
}

function parse(token: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
