/** What a process asks of etcd; `probe` is the gate's own. */
export type RequestKind = 'range' | 'txn' | 'grant' | 'keepAlive' | 'revoke' | 'probe';

/**
 * What becomes of a request: executed, but the answer is lost; lost on its way; executed after whoever sent it has given
 * up; executed, and the connection is reset before the answer.
 */
export type Fate = 'answer-lost' | 'lost' | 'late' | 'reset';

/** A healthy etcd says no: to writes, to everything about keys, or to everybody. */
export type Refusal = 'no-space' | 'permission-denied' | 'auth' | 'refused';
