import { etcdErrors } from './etcd.errors.js';
import {
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type KeyValue,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  SortOrder,
  SortTarget,
} from './etcd.messages.js';
import type { ReadView, WriteTxn } from './mvcc.store.js';

const EMPTY = Buffer.alloc(0);

const comparators: Record<number, (a: KeyValue, b: KeyValue) => number> = {
  [SortTarget.key]: (a, b) => a.key.compare(b.key),
  [SortTarget.version]: (a, b) => a.version - b.version,
  [SortTarget.create]: (a, b) => a.create_revision - b.create_revision,
  [SortTarget.mod]: (a, b) => a.mod_revision - b.mod_revision,
  [SortTarget.value]: (a, b) => a.value.compare(b.value),
};

const sorted = (kvs: readonly KeyValue[], request: RangeRequest): readonly KeyValue[] => {
  // By key and ascending is what a range is anyway; any other target is ascending by default.
  if (request.sort_order === SortOrder.none && request.sort_target === SortTarget.key) return kvs;
  const compare = comparators[request.sort_target];
  if (!compare) return kvs;
  const descending = request.sort_order === SortOrder.descend;
  return [...kvs].sort(descending ? (a, b) => compare(b, a) : compare);
};

const within = (value: number, min: number, max: number): boolean =>
  (min === 0 || value >= min) && (max === 0 || value <= max);

/** Answers a range request from `view`. The count is of the whole range, before filters and limit. */
export const applyRange = (view: ReadView, request: RangeRequest): RangeResponse => {
  const limit = Number(request.limit);
  const [minMod, maxMod] = [Number(request.min_mod_revision), Number(request.max_mod_revision)];
  const [minCreate, maxCreate] = [Number(request.min_create_revision), Number(request.max_create_revision)];
  const filtered = minMod !== 0 || maxMod !== 0 || minCreate !== 0 || maxCreate !== 0;
  // A target without an order sorts only what the limit has left, as in etcd 3.4.
  const truncateLater = filtered || request.sort_order !== SortOrder.none;
  const result = view.range(request.key, request.range_end, {
    revision: Number(request.revision),
    countOnly: request.count_only,
    // One more than asked for tells whether there are more.
    limit: truncateLater || limit <= 0 ? 0 : limit + 1,
  });
  let kvs = result.kvs;
  if (filtered) {
    kvs = kvs.filter(
      (kv) => within(kv.mod_revision, minMod, maxMod) && within(kv.create_revision, minCreate, maxCreate),
    );
  }
  kvs = sorted(kvs, request);
  const more = limit > 0 && kvs.length > limit;
  if (more) kvs = kvs.slice(0, limit);
  if (request.keys_only) kvs = kvs.map((kv) => ({ ...kv, value: EMPTY }));
  return { header: { revision: result.revision }, kvs, more, count: result.count };
};

/** Writes one key. The lease must have been checked. @throws EtcdStatusError when an `ignore_` flag finds no key. */
export const applyPut = (txn: WriteTxn, request: PutRequest): PutResponse => {
  const needsPrevious = request.prev_kv || request.ignore_value || request.ignore_lease;
  const previous = needsPrevious ? txn.range(request.key, EMPTY).kvs[0] : undefined;
  if (!previous && (request.ignore_value || request.ignore_lease)) throw etcdErrors.keyNotFound();
  txn.put(
    request.key,
    request.ignore_value ? previous!.value : request.value,
    request.ignore_lease ? previous!.lease : request.lease,
  );
  return { header: { revision: txn.revision }, prev_kv: request.prev_kv ? previous : undefined };
};

export const applyDeleteRange = (txn: WriteTxn, request: DeleteRangeRequest): DeleteRangeResponse => {
  const prevKvs = request.prev_kv ? txn.range(request.key, request.range_end).kvs : [];
  const deleted = txn.delete(request.key, request.range_end);
  return { header: { revision: txn.revision }, deleted, prev_kvs: prevKvs };
};
