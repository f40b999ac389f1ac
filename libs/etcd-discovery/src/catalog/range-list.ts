import type {
  EtcdClient,
  EtcdHeader,
  EtcdKeyValue,
  KeyRange,
  RangeRequest,
  RangeResponse,
} from '../etcd/etcd-client.js';
import { EtcdRequestError, isEtcdFailure } from '../etcd/etcd-status.js';
import { encodeKey } from '../etcd/key-codec.js';
import { listRange, PageSize, type ListOptions } from '../etcd/key-range.js';
import { HEARTBEAT_MS } from '../etcd/watch-stream.js';
import type { Clock } from '../utils/clock.js';
import { Turns } from '../utils/turns.js';
import { isBehind } from './etcd-history.js';

/**
 * So many differing keys are read one by one, more with their whole range: on a real etcd sixteen single reads cost
 * about as much as a page of 1,000 instances (0.4 ms each against 7 ms).
 */
const MOST_SINGLE_READS = 16;

/** A page that took this long and failed is asked for in smaller pieces next time. */
const SLOW_PAGE_MS = 1_000;

/** Values read in one turn of the event loop: 1 ms, and 5 ms in a process whose code has not run before. */
const READ_IN_A_TURN = 250;

export interface ListReader<T> {
  /** Called for every key whose value was read, soon after it came; undefined: no concern. */
  read(kv: EtcdKeyValue): T | undefined;
  /**
   * What is known of the key if that was read of exactly this state of it (create and mod revision, version, lease),
   * else undefined: then its value is read. `foreign`: a key of no concern.
   */
  known(kv: EtcdKeyValue): T | 'foreign' | undefined;
}

export interface Listing<T> {
  readonly items: readonly T[];
  /** Everything up to its revision is in the list. */
  readonly header: EtcdHeader;
  /** The latest revision that any page shows; that of the header unless the pages were read at different times. */
  readonly newestRevision: number;
  /** Whether what the revision `modRevision` did to `key` is in the list already. */
  readonly includes: (key: string, modRevision: number) => boolean;
}

interface ListerDeps<T> {
  readonly etcd: Pick<EtcdClient, 'range'>;
  readonly clock: Clock;
  readonly ranges: readonly KeyRange[];
  readonly reader: ListReader<T>;
}

/** Lists some ranges of etcd as one, through the watch's connection: its token and its member are the watch's. */
export class RangeList<T> {
  private readonly pages = new PageSize();
  /** When the list that is being read got its last answer. */
  private answeredAt: number | undefined;

  constructor(private readonly deps: ListerDeps<T>) {}

  /** Every page of every range with values, all at one revision: the one given, else that of the first page. */
  async full(signal: AbortSignal, at?: EtcdHeader): Promise<Listing<T>> {
    const items: T[] = [];
    let header = at;
    if (!at) this.answeredAt = undefined;
    for (const range of this.deps.ranges) {
      const options = { pages: this.pages, via: 'watch', signal } as const;
      const pages = listRange(
        this.pinned(() => header?.revision),
        range,
        options,
      );
      await this.takeAll(pages, items, (page) => (header = sameHistory(header, page.header)));
    }
    return atOneRevision(items, header);
  }

  /**
   * The keys of every range at one revision, and the values of those only that are not known already. Undefined, and
   * nothing but one page read, when the first answer is not `trusted`.
   */
  async compared(signal: AbortSignal, trusted: (header: EtcdHeader) => boolean): Promise<Listing<T> | undefined> {
    const items: T[] = [];
    const unknown: EtcdKeyValue[] = [];
    let header: EtcdHeader | undefined;
    this.answeredAt = undefined;
    for (const range of this.deps.ranges) {
      const options = { keysOnly: true, via: 'watch', signal } as const;
      for await (const page of listRange(
        this.pinned(() => header?.revision),
        range,
        options,
      )) {
        if (!header && !trusted(page.header)) return undefined;
        header = sameHistory(header, page.header);
        for (const kv of page.kvs) {
          const known = this.deps.reader.known(kv);
          if (known === undefined) unknown.push(kv);
          else if (known !== 'foreign') items.push(known);
        }
      }
    }
    const most = unknown.length > 1 ? Math.min(MOST_SINGLE_READS, items.length) : 1;
    if (unknown.length > most) return this.full(signal, header);
    await Promise.all(unknown.map((kv) => this.single(kv, header, items, signal)));
    return atOneRevision(items, header);
  }

  /**
   * Every page at its own time, for an etcd that is compacted faster than it can be listed. Together they are no one
   * moment; `includes` tells, by the page that a key belongs to, which changes they hold.
   */
  async unpinned(signal: AbortSignal): Promise<Listing<T>> {
    const items: T[] = [];
    const pages: { readonly from: Buffer; readonly revision: number }[] = [];
    this.answeredAt = undefined;
    let header: EtcdHeader | undefined;
    let newest: EtcdHeader | undefined;
    for (const range of this.deps.ranges) {
      let from = range.key;
      const now = this.pinned((request) => {
        from = request.key;
        return 0;
      });
      for await (const page of listRange(now, range, { pages: this.pages, via: 'watch', signal })) {
        newest = sameHistory(newest, page.header, true);
        header ??= page.header;
        pages.push({ from: encodeKey(from), revision: page.header.revision });
        for (const kv of page.kvs) this.take(kv, items);
      }
    }
    if (!header || !newest) throw new Error('nothing to list');
    // The last page that starts at or before a key is the one it belongs to.
    pages.sort((a, b) => b.from.compare(a.from));
    const includes = (key: string, modRevision: number) => {
      const bytes = encodeKey(key);
      const page = pages.find(({ from }) => from.compare(bytes) <= 0);
      return page !== undefined && modRevision <= page.revision;
    };
    return { items, header, newestRevision: newest.revision, includes };
  }

  /** Reads page after page; etcd makes the next one while this one is read, which is done in pieces. */
  private async takeAll(
    pages: AsyncGenerator<RangeResponse, void>,
    items: T[],
    arrived: (page: RangeResponse) => void,
  ): Promise<void> {
    let coming = pages.next();
    for (;;) {
      const { done, value: page } = await coming;
      if (done) return;
      arrived(page);
      coming = pages.next();
      // It is awaited in the next turn of this loop; until then a failure is nobody's.
      coming.catch(() => undefined);
      // What the driver did to hand us the page was in this turn already.
      const turns = new Turns(READ_IN_A_TURN);
      if (page.kvs.length > READ_IN_A_TURN) await turns.next();
      for (const kv of page.kvs) {
        const wait = turns.before(1);
        if (wait) await wait;
        this.take(kv, items);
      }
    }
  }

  private take(kv: EtcdKeyValue, items: T[]): void {
    const item = this.deps.reader.read(kv);
    if (item !== undefined) items.push(item);
  }

  private async single(kv: EtcdKeyValue, at: EtcdHeader | undefined, items: T[], signal: AbortSignal): Promise<void> {
    const request = { key: kv.key, revision: at?.revision };
    const { kvs, header } = await this.deps.etcd.range(request, { via: 'watch', signal });
    sameHistory(at, header);
    const [found] = kvs;
    if (!found || !sameState(found, kv))
      throw changedUnderneath(`${JSON.stringify(kv.key)} is not what it was listed as`);
    this.take(found, items);
  }

  /**
   * A page is answered within its deadline of 2 s, so that only a process that was stopped sees more time pass from the
   * question to the answer, or from one answer to the next. More than a heartbeat, and the pages may be of two etcds: the
   * second one restored or wiped, and grown to the same revision.
   */
  private oneSitting(askedAt: number): void {
    const now = this.deps.clock.now();
    const pausedMs = now - Math.min(askedAt, this.answeredAt ?? askedAt);
    this.answeredAt = now;
    if (pausedMs > HEARTBEAT_MS) throw changedUnderneath(`${Math.round(pausedMs)} ms passed over one of its pages`);
  }

  /** Each request at the revision that `revisionOf` says, and slow ones noted. */
  private pinned(revisionOf: (request: RangeRequest) => number | undefined): Pick<EtcdClient, 'range'> {
    const { etcd, clock } = this.deps;
    return {
      range: async (request: RangeRequest, options?: ListOptions) => {
        const startedAt = clock.now();
        try {
          const page = await etcd.range({ ...request, revision: revisionOf(request) }, options);
          this.oneSitting(startedAt);
          return page;
        } catch (error) {
          this.answeredAt = clock.now();
          const slow = clock.now() - startedAt >= SLOW_PAGE_MS;
          if (slow && !request.keysOnly && isEtcdFailure(error, 'unreachable')) this.pages.timedOut();
          throw error;
        }
      },
    };
  }
}

/** Whether two readings of a key are of the same write, as long as etcd's history is the same. */
export const sameState = (
  a: Pick<EtcdKeyValue, 'createRevision' | 'modRevision' | 'version' | 'lease'>,
  b: { createRevision: number; modRevision: number; version?: number; lease?: string },
): boolean =>
  a.modRevision === b.modRevision &&
  a.createRevision === b.createRevision &&
  a.version === b.version &&
  a.lease === b.lease;

const atOneRevision = <T>(items: readonly T[], header: EtcdHeader | undefined): Listing<T> => {
  if (!header) throw new Error('nothing to list');
  const { revision } = header;
  return { items, header, newestRevision: revision, includes: (_, modRevision) => modRevision <= revision };
};

/** The first header of a list, or the latest; etcd may go on while it is listed, but not back. */
const sameHistory = (before: EtcdHeader | undefined, header: EtcdHeader, latest = false): EtcdHeader => {
  if (before && isBehind(header, before))
    throw changedUnderneath(`revision ${header.revision} after ${before.revision}`);
  return latest ? header : (before ?? header);
};

const changedUnderneath = (what: string): EtcdRequestError =>
  new EtcdRequestError('refused', `etcd was restored or replaced while it was listed: ${what}`);
