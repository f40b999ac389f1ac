/**
 * The narrow port to etcd that the rest of the library talks to. `etcd3-client.ts` is the one implementation over a
 * network; tests implement it in memory.
 *
 * Revisions are numbers: 2^53 revisions at 10,000 writes per second take 28,000 years. Lease ids are decimal strings,
 * because they are random 63-bit numbers.
 */
export interface EtcdHeader {
  readonly clusterId: string;
  readonly memberId: string;
  readonly revision: number;
  readonly raftTerm: number;
}

export interface EtcdKeyValue {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Decimal lease id, `'0'` when the key has none. */
  readonly lease: string;
}

/** One key (`rangeEnd` absent) or the half-open range [key, rangeEnd). */
export interface KeyRange {
  readonly key: string;
  readonly rangeEnd?: string;
}

export interface RangeRequest extends KeyRange {
  /** At most so many keys; 0 or absent = all. */
  readonly limit?: number;
  /** Read at this revision; 0 or absent = now. */
  readonly revision?: number;
  readonly keysOnly?: boolean;
}

export interface RangeResponse {
  readonly header: EtcdHeader;
  readonly kvs: readonly EtcdKeyValue[];
  readonly more: boolean;
  readonly count: number;
}

export type Compare =
  | {
      readonly key: string;
      readonly target: 'version' | 'create' | 'mod';
      readonly result: 'equal' | 'greater' | 'less' | 'notEqual';
      readonly value: number;
    }
  | { readonly key: string; readonly target: 'lease'; readonly result: 'equal' | 'notEqual'; readonly value: string };

export type TxnOp =
  | {
      readonly type: 'put';
      readonly key: string;
      readonly value: string | Buffer;
      /** Every put of ours carries a lease. */ readonly lease: string;
    }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'get'; readonly key: string };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly TxnOp[];
  readonly failure?: readonly TxnOp[];
}

export interface TxnResponse {
  readonly header: EtcdHeader;
  readonly succeeded: boolean;
  /** One entry per executed operation; `kvs` only for gets. */
  readonly responses: readonly { readonly kvs: readonly EtcdKeyValue[] }[];
}

export interface CallOptions {
  /** Deadline of this call; the client's default (2 s) when absent. No call is ever without one. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface WatchEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** Empty for deletes. */
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease: string;
}

/** Why a watch ended. It never resumes by itself: list again, publish the difference, watch from the next revision. */
export interface WatchEnd {
  readonly reason: 'error' | 'canceled' | 'compacted' | 'silent' | 'closed';
  readonly error?: Error;
  readonly compactRevision?: number;
}

export interface WatchObserver {
  /** The server has accepted the watch: from now on nothing after `startRevision` is missed. */
  created?(header: EtcdHeader): void;
  /** All events of one revision come in one call, in etcd's order. */
  events(events: readonly WatchEvent[], header: EtcdHeader): void;
  /** A progress notification: everything up to `header.revision` has been delivered. */
  progress?(header: EtcdHeader): void;
  /** Called exactly once, unless `close()` came first. */
  end(end: WatchEnd): void;
}

export interface WatchHandle {
  /** Stops the watch; no callback comes afterwards. */
  close(): void;
}

export interface GateState {
  readonly open: boolean;
  /** Why the gate is closed. */
  readonly error?: Error;
  /** Wall-clock time of the last change, for messages. */
  readonly since: Date;
}

/**
 * Decides for the whole process when etcd is tried again, so that an outage costs at most about one attempt per
 * second, whatever the number of watches and registrations.
 */
export interface ConnectivityGate {
  readonly state: GateState;
  /** Resolves when the gate is open, or when `signal` aborts. Never rejects. */
  whenOpen(signal?: AbortSignal): Promise<void>;
  /** Called on every change; the returned function unsubscribes. */
  onChange(listener: (state: GateState) => void): () => void;
}

export interface EtcdClient {
  readonly gate: ConnectivityGate;
  /** One page. `via: 'watch'` reads through the watch's own connection, whose token and member the watch will use. */
  range(request: RangeRequest, options?: CallOptions & { via?: 'unary' | 'watch' }): Promise<RangeResponse>;
  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse>;
  /** `ttl` is the granted one, seconds; etcd may grant more than was asked for. */
  grantLease(ttlSeconds: number, options?: CallOptions): Promise<{ id: string; ttl: number }>;
  /** One renewal on its own stream. `ttl` ≤ 0 means the lease is gone. */
  keepAliveLease(id: string, options?: CallOptions): Promise<{ ttl: number }>;
  revokeLease(id: string, options?: CallOptions): Promise<void>;
  /** Opens a watch on the process's one shared watch stream. Failures arrive at `observer.end`. */
  watch(request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle;
  /** The local address a connection to etcd leaves from, for the advertised address; undefined if none can be opened. */
  localAddress(options?: CallOptions): Promise<string | undefined>;
  /** The endpoint in use, `host:port`, for messages. */
  readonly endpoint: string;
  /** Cancels every stream and call and releases every socket and timer. Idempotent. */
  close(): Promise<void>;
}
