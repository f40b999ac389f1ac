import type { CallOptions, EtcdClient, KeyRange, RangeResponse } from './etcd-client.js';
import { isEtcdFailure } from './etcd-status.js';

/** Largest page: 1,000 instances of 300 bytes hold the event loop for about 5 ms while the driver decodes them. */
export const DEFAULT_PAGE_SIZE = 1_000;

/**
 * Of the first page. Code that has not run before is many times slower: in a process that has just started, the driver
 * alone holds the event loop for 20 ms over a first page of 1,000.
 */
const FIRST_PAGE_SIZE = 250;

/**
 * A page of values is meant to hold no more than this. etcd has no such limit itself: 1,000 foreign values of 1.4 MB
 * would be one answer of 1.4 GB, which no deadline leaves time for.
 */
const PAGE_BYTES = 2 * 1024 * 1024;

/** A page that timed out may have been too large, or etcd too slow; fewer keys than this are not the reason. */
const FEWEST_AFTER_TIMEOUT = 8;

/** How many keys of a range the next page asks for. Whoever lists again keeps it, so that a lesson is learnt once. */
export class PageSize {
  private size: number;

  constructor(private readonly most = DEFAULT_PAGE_SIZE) {
    this.size = Math.min(most, FIRST_PAGE_SIZE);
  }

  get keys(): number {
    return this.size;
  }

  /** A page arrived: the next one holds as many keys as fit at its density, at most twice as many. */
  took({ kvs }: Pick<RangeResponse, 'kvs'>): void {
    if (kvs.length === 0) return;
    let bytes = 0;
    for (const { key, value } of kvs) bytes += key.length + value.length;
    const fitting = Math.floor((PAGE_BYTES * kvs.length) / bytes);
    this.size = Math.max(1, Math.min(this.most, fitting, this.size * 2));
  }

  /** A page was refused for its size; false when it cannot be smaller. */
  refused(): boolean {
    if (this.size === 1) return false;
    this.size = Math.ceil(this.size / 4);
    return true;
  }

  /** A page did not come in its time. */
  timedOut(): void {
    this.size = Math.min(this.size, Math.max(FEWEST_AFTER_TIMEOUT, Math.ceil(this.size / 4)));
  }
}

export interface ListOptions extends CallOptions {
  /** Most keys per request; default 1,000, fewer at first and where values are large. */
  readonly pageSize?: number;
  /** Instead of `pageSize`: what earlier lists have learnt about the size of values. */
  readonly pages?: PageSize;
  readonly keysOnly?: boolean;
  readonly via?: 'unary' | 'watch';
}

/** Every key that starts with `prefix`; the empty prefix is every key there is. */
export const prefixRange = (prefix: string): KeyRange =>
  prefix === '' ? { key: '\0', rangeEnd: '\0' } : { key: prefix, rangeEnd: successor(prefix) };

/**
 * Reads `range` page by page, all pages at the revision of the first, so that together they are one moment.
 * `timeoutMs` holds for each page. A page that is refused for its size is asked for again in smaller pieces.
 *
 * @throws EtcdRequestError `compacted` when the revision was compacted between two pages: start over.
 */
export async function* listRange(
  etcd: Pick<EtcdClient, 'range'>,
  range: KeyRange,
  options: ListOptions = {},
): AsyncGenerator<RangeResponse, void, void> {
  const { pageSize, pages = new PageSize(pageSize), keysOnly = false, ...call } = options;
  let key = range.key;
  let revision = 0;
  for (;;) {
    let page: RangeResponse;
    try {
      page = await etcd.range({ ...range, key, limit: pages.keys, revision, keysOnly }, call);
    } catch (error) {
      if (isEtcdFailure(error, 'too-large') && pages.refused()) continue;
      throw error;
    }
    pages.took(page);
    yield page;
    const last = page.kvs.at(-1);
    if (!page.more || !last) return;
    // A restored etcd may answer a later page with an older header; the pages stay at the revision of the first.
    revision ||= page.header.revision;
    key = `${last.key}\0`;
  }
}

/**
 * The smallest string above every string that starts with `prefix`. UTF-8 sorts as code points do, so the last code
 * point is raised; for ASCII this is etcd's usual "last byte plus one".
 */
const successor = (prefix: string): string => {
  const points = Array.from(prefix);
  while (points.length > 0) {
    const last = points.pop()!.codePointAt(0)!;
    if (last === 0x10ffff) continue;
    const next = last + 1 === 0xd800 ? 0xe000 : last + 1;
    return points.join('') + String.fromCodePoint(next);
  }
  return '\0';
};
