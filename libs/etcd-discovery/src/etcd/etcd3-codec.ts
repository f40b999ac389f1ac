import type {
  IKeyValue,
  ICompare,
  IRequestOp,
  IResponseHeader,
  ITxnResponse,
  IRangeResponse,
  IWatchResponse,
} from 'etcd3';
import type {
  Compare,
  EtcdHeader,
  EtcdKeyValue,
  RangeResponse,
  TxnOp,
  TxnResponse,
  WatchEvent,
} from './etcd-client.js';
import { decodeKey, encodeKey } from './key-codec.js';
import type { WatchMessage } from './watch-transport.js';

const NOTHING = Buffer.alloc(0);

/** The driver gives int64 as decimal strings; a missing header (it is a message field) reads as revision 0. */
export const decodeHeader = (header: IResponseHeader | null | undefined): EtcdHeader => ({
  clusterId: header?.cluster_id ?? '0',
  memberId: header?.member_id ?? '0',
  revision: Number(header?.revision ?? 0),
  raftTerm: Number(header?.raft_term ?? 0),
});

export const decodeKeyValue = (kv: IKeyValue): EtcdKeyValue => ({
  key: decodeKey(kv.key),
  value: kv.value,
  createRevision: Number(kv.create_revision),
  modRevision: Number(kv.mod_revision),
  version: Number(kv.version),
  lease: kv.lease,
});

export const decodeRange = (response: IRangeResponse): RangeResponse => ({
  header: decodeHeader(response.header),
  kvs: response.kvs.map(decodeKeyValue),
  more: response.more,
  count: Number(response.count),
});

export const encodeRangeEnd = (rangeEnd: string | undefined): { range_end?: Buffer } =>
  rangeEnd === undefined ? {} : { range_end: encodeKey(rangeEnd) };

const RESULT = { equal: 'Equal', greater: 'Greater', less: 'Less', notEqual: 'NotEqual' } as const;

export const encodeCompare = (compare: Compare): ICompare => {
  const base = { key: encodeKey(compare.key), result: RESULT[compare.result] };
  switch (compare.target) {
    case 'version':
      return { ...base, target: 'Version', version: compare.value };
    case 'create':
      return { ...base, target: 'Create', create_revision: compare.value };
    case 'mod':
      return { ...base, target: 'Mod', mod_revision: compare.value };
    default:
      return { ...base, target: 'Lease', lease: compare.value };
  }
};

export const encodeOp = (op: TxnOp): IRequestOp => {
  const key = encodeKey(op.key);
  switch (op.type) {
    case 'put':
      return { request_put: { key, value: Buffer.from(op.value as string), lease: op.lease } };
    case 'delete':
      return { request_delete_range: { key } };
    default:
      return { request_range: { key } };
  }
};

export const decodeTxn = (response: ITxnResponse): TxnResponse => ({
  header: decodeHeader(response.header),
  succeeded: response.succeeded,
  responses: response.responses.map((op) => ({ kvs: (op.response_range?.kvs ?? []).map(decodeKeyValue) })),
});

export const decodeWatchMessage = (response: IWatchResponse): WatchMessage => ({
  header: decodeHeader(response.header),
  watchId: Number(response.watch_id),
  created: response.created,
  canceled: response.canceled,
  compactRevision: Number(response.compact_revision),
  cancelReason: response.cancel_reason,
  fragment: response.fragment,
  events: response.events.map(({ type, kv }): WatchEvent => {
    const deleted = type === 'Delete';
    return { ...decodeKeyValue(kv), type: deleted ? 'delete' : 'put', value: deleted ? NOTHING : kv.value };
  }),
});
