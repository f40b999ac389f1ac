import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { etcdErrors } from './etcd.errors.js';
import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from './etcd.messages.js';
import type { EtcdState } from './etcd.state.js';
import { unary } from './handlers.js';
import { applyDeleteRange, applyPut, applyRange } from './kv.apply.js';
import { checkPut, checkRange, checkTxn } from './kv.requests.js';
import { applyTxn } from './txn.apply.js';
import { MAX_REQUEST_BYTES } from './watch.fragment.js';

/** What the proposal that carries a request through raft adds to it, about. */
const PROPOSAL_BYTES = 20;

const roughOpSize = ({ request_put: put, request_txn: txn }: RequestOp): number =>
  put ? put.key.length + put.value.length : txn ? roughTxnSize(txn) : 0;
const roughTxnSize = ({ success, failure }: TxnRequest): number =>
  [...success, ...failure].reduce((sum, op) => sum + roughOpSize(op), 0);

/** etcd.KV over `state`. */
export const kvService = (state: EtcdState, definition: ServiceDefinition): UntypedServiceImplementation => {
  const withHeader = <T extends { header: { readonly revision?: number } }>(response: T): T => ({
    ...response,
    header: state.header(response.header.revision),
  });
  /** Encoding a request again costs: only what may be too large is measured exactly. */
  const assertSize = (method: 'Put' | 'Txn', request: PutRequest | TxnRequest, roughBytes: number): void => {
    if (roughBytes < MAX_REQUEST_BYTES / 2) return;
    const bytes = definition[method]!.requestSerialize(request).length + PROPOSAL_BYTES;
    if (bytes > MAX_REQUEST_BYTES) throw etcdErrors.requestTooLarge();
  };

  return {
    Range: unary((request: RangeRequest) => {
      checkRange(request);
      return withHeader(applyRange(state.kv, request));
    }),
    Put: unary((request: PutRequest) => {
      checkPut(request);
      assertSize('Put', request, request.key.length + request.value.length);
      state.assertSpace();
      if (request.lease !== '0' && !state.leases.get(request.lease)) throw etcdErrors.leaseNotFound();
      return withHeader(state.kv.write((txn) => applyPut(txn, request)));
    }),
    DeleteRange: unary((request: DeleteRangeRequest) => {
      checkRange(request);
      return withHeader(state.kv.write((txn) => applyDeleteRange(txn, request)));
    }),
    Txn: unary((request: TxnRequest) => {
      checkTxn(request);
      assertSize('Txn', request, roughTxnSize(request));
      if ([...request.success, ...request.failure].some((op) => op.request_put)) state.assertSpace();
      return applyTxn(state, request);
    }),
    Compact: unary(({ revision }: { revision: string }) => {
      state.kv.compact(Number(revision));
      return { header: state.header() };
    }),
  };
};
