import { etcdErrors } from './etcd.errors.js';
import {
  type Compare,
  CompareResult,
  CompareTarget,
  type KeyValue,
  type RequestOp,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from './etcd.messages.js';
import { applyDeleteRange, applyPut, applyRange } from './kv.apply.js';
import type { EtcdState } from './etcd.state.js';
import type { ReadView, WriteTxn } from './mvcc.store.js';

const EMPTY = Buffer.alloc(0);

const numberOf = (compare: Compare, kv: KeyValue | undefined): [have: bigint, want: bigint] => {
  switch (compare.target) {
    case CompareTarget.create:
      return [BigInt(kv?.create_revision ?? 0), BigInt(compare.create_revision ?? 0)];
    case CompareTarget.mod:
      return [BigInt(kv?.mod_revision ?? 0), BigInt(compare.mod_revision ?? 0)];
    case CompareTarget.lease:
      return [BigInt(kv?.lease ?? 0), BigInt(compare.lease ?? 0)];
    default:
      return [BigInt(kv?.version ?? 0), BigInt(compare.version ?? 0)];
  }
};

const compareOne = (compare: Compare, kv: KeyValue | undefined): boolean => {
  let order: number;
  if (compare.target === CompareTarget.value) {
    order = (kv?.value ?? EMPTY).compare(compare.value ?? EMPTY);
  } else {
    const [have, want] = numberOf(compare, kv);
    order = have < want ? -1 : have > want ? 1 : 0;
  }
  switch (compare.result) {
    case CompareResult.equal:
      return order === 0;
    case CompareResult.notEqual:
      return order !== 0;
    case CompareResult.greater:
      return order > 0;
    case CompareResult.less:
      return order < 0;
    default:
      return true;
  }
};

const holds = (view: ReadView, compare: Compare): boolean => {
  const { kvs } = view.range(compare.key, compare.range_end);
  // A value that is not there equals nothing, not even the empty one; any other field of a missing key is 0.
  if (kvs.length === 0) return compare.target !== CompareTarget.value && compareOne(compare, undefined);
  return kvs.every((kv) => compareOne(compare, kv));
};

/** What will run: which branch was taken, and so on for each nested transaction of that branch. */
interface Plan {
  readonly succeeded: boolean;
  readonly ops: readonly RequestOp[];
  readonly nested: ReadonlyMap<RequestOp, Plan>;
}

/** All compares, nested ones included, look at the state before the transaction. */
const plan = (view: ReadView, request: TxnRequest): Plan => {
  const succeeded = request.compare.every((compare) => holds(view, compare));
  const ops = succeeded ? request.success : request.failure;
  const nested = new Map<RequestOp, Plan>();
  for (const op of ops) if (op.request_txn) nested.set(op, plan(view, op.request_txn));
  return { succeeded, ops, nested };
};

function* flatten({ ops, nested }: Plan): Generator<RequestOp> {
  for (const op of ops) {
    const inner = nested.get(op);
    if (inner) yield* flatten(inner);
    else yield op;
  }
}

/** etcd refuses before it writes: first for its puts, then for its ranges. */
const checkPlan = (state: EtcdState, top: Plan): void => {
  const ops = [...flatten(top)];
  for (const { request_put: put } of ops) {
    if (!put) continue;
    if ((put.ignore_value || put.ignore_lease) && state.kv.range(put.key, EMPTY).count === 0) {
      throw etcdErrors.keyNotFound();
    }
    if (put.lease !== '0' && !state.leases.get(put.lease)) throw etcdErrors.leaseNotFound();
  }
  for (const { request_range: range } of ops) {
    const revision = Number(range?.revision ?? 0);
    if (revision === 0) continue;
    if (revision > state.kv.revision) throw etcdErrors.futureRevision();
    if (revision < state.kv.compacted) throw etcdErrors.compacted();
  }
};

const applyPlan = (txn: WriteTxn, { ops, nested }: Plan): ResponseOp[] =>
  ops.map((op): ResponseOp => {
    if (op.request_range) return { response_range: applyRange(txn, op.request_range) };
    if (op.request_put) return { response_put: applyPut(txn, op.request_put) };
    if (op.request_delete_range) return { response_delete_range: applyDeleteRange(txn, op.request_delete_range) };
    const inner = nested.get(op)!;
    return { response_txn: { header: {}, succeeded: inner.succeeded, responses: applyPlan(txn, inner) } };
  });

/** Runs a checked transaction as one revision; a refusal leaves nothing behind. @throws EtcdStatusError */
export const applyTxn = (state: EtcdState, request: TxnRequest): TxnResponse => {
  const top = plan(state.kv, request);
  checkPlan(state, top);
  const responses = state.kv.write((txn) => applyPlan(txn, top));
  return { header: state.header(), succeeded: top.succeeded, responses };
};
