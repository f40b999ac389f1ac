import { etcdErrors } from './etcd.errors.js';
import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from './etcd.messages.js';
import { keyText } from './key-index.js';

/** `--max-txn-ops` of etcd. */
const MAX_TXN_OPS = 128;

/** The checks that etcd makes before it looks at its data. Each throws an EtcdStatusError. */
export const checkRange = ({ key }: RangeRequest | DeleteRangeRequest): void => {
  if (key.length === 0) throw etcdErrors.emptyKey();
};

export const checkPut = (request: PutRequest): void => {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
  if (request.ignore_value && request.value.length > 0) throw etcdErrors.valueProvided();
  if (request.ignore_lease && request.lease !== '0') throw etcdErrors.leaseProvided();
};

export const checkTxn = (request: TxnRequest): void => {
  checkTxnShape(request, MAX_TXN_OPS);
  checkOverlaps(request.success);
  checkOverlaps(request.failure);
};

const checkTxnShape = ({ compare, success, failure }: TxnRequest, maxOps: number): void => {
  const ops = Math.max(compare.length, success.length, failure.length);
  if (ops > maxOps) throw etcdErrors.tooManyOps();
  if (compare.some(({ key }) => key.length === 0)) throw etcdErrors.emptyKey();
  for (const op of success) checkOp(op, maxOps - ops);
  for (const op of failure) checkOp(op, maxOps - ops);
};

const checkOp = (op: RequestOp, maxOps: number): void => {
  if (op.request_range) checkRange(op.request_range);
  else if (op.request_put) checkPut(op.request_put);
  else if (op.request_delete_range) checkRange(op.request_delete_range);
  else if (op.request_txn) checkTxnShape(op.request_txn, maxOps);
  else throw etcdErrors.keyNotFound();
};

/** A deleted range as etcd's interval tree sees it; `end` undefined is the single key. */
interface DeletedRange {
  readonly key: string;
  readonly end?: string;
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: DeletedRange[];
}

/**
 * No key may be written twice in one transaction. As in etcd 3.4 a delete "from key on" (range end `\0`) is not seen
 * by this check, because as an interval it is empty.
 */
const checkOverlaps = (ops: readonly RequestOp[]): Writes => {
  const puts = new Set<string>();
  const deletes: DeletedRange[] = [];
  for (const { request_delete_range: request } of ops) {
    if (!request) continue;
    const key = keyText(request.key);
    deletes.push(request.range_end.length > 0 ? { key, end: keyText(request.range_end) } : { key });
  }
  const isDeleted = (key: string): boolean =>
    deletes.some((range) => (range.end === undefined ? key === range.key : key >= range.key && key < range.end));
  const add = (key: string, mayRepeat?: Set<string>): void => {
    if ((puts.has(key) && !mayRepeat?.has(key)) || isDeleted(key)) throw etcdErrors.duplicateKey();
    puts.add(key);
  };

  for (const { request_txn: nested } of ops) {
    if (!nested) continue;
    const then = checkOverlaps(nested.success);
    const otherwise = checkOverlaps(nested.failure);
    for (const key of then.puts) add(key);
    // Only one of the two branches runs: they may write the same keys.
    for (const key of otherwise.puts) add(key, then.puts);
    deletes.push(...then.deletes, ...otherwise.deletes);
  }
  for (const { request_put: put } of ops) if (put) add(keyText(put.key));
  return { puts, deletes };
};
