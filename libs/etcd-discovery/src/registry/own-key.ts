import type { CallOptions, EtcdClient, EtcdKeyValue, TxnOp } from '../etcd/etcd-client.js';
import { isEtcdFailure } from '../etcd/etcd-status.js';

/** A compare that fails this often in a row means that somebody else writes the key all the time. */
const MAX_ROUNDS = 4;

export interface KeyClaim {
  readonly key: string;
  readonly value: string;
  /** The lease the key is put under. */
  readonly lease: string;
  /** mod_revision the key is believed to have; 0 = absent. A wrong belief costs one more round trip, nothing else. */
  readonly expectedModRevision: number;
  /** May what stands there now be replaced? */
  mayReplace(holder: EtcdKeyValue): boolean;
}

export type ClaimOutcome =
  /** The key stands as wanted, as of `revision`. `replaced` is what was there before, if it was not absent. */
  | {
      readonly type: 'written';
      readonly revision: number;
      readonly modRevision: number;
      readonly replaced?: EtcdKeyValue;
    }
  /** Somebody else's; left alone. */
  | { readonly type: 'held'; readonly revision: number; readonly holder: EtcdKeyValue }
  /** It changed under our hands every time. */
  | { readonly type: 'contended' };

/**
 * Makes the key stand in etcd with that value under that lease. Every write compares the mod_revision that was read,
 * so that neither another process nor a delayed attempt of our own is ever overwritten unseen, and an attempt whose
 * answer was lost can simply be made again.
 */
export async function claimKey(etcd: EtcdClient, claim: KeyClaim, options: CallOptions): Promise<ClaimOutcome> {
  const { key, value, lease } = claim;
  let expected = claim.expectedModRevision;
  let replaced: EtcdKeyValue | undefined;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const answer = await etcd.txn(
      {
        compare: [{ key, target: 'mod', result: 'equal', value: expected }],
        success: [{ type: 'put', key, value, lease }],
        failure: [{ type: 'get', key }],
      },
      options,
    );
    const revision = answer.header.revision;
    if (answer.succeeded) return { type: 'written', revision, modRevision: revision, ...(replaced && { replaced }) };
    const found = answer.responses[0]?.kvs[0];
    if (found?.lease === lease && found.value.equals(Buffer.from(value))) {
      return { type: 'written', revision, modRevision: found.modRevision };
    }
    if (found && !claim.mayReplace(found)) return { type: 'held', revision, holder: found };
    expected = found?.modRevision ?? 0;
    replaced = found;
  }
  return { type: 'contended' };
}

export interface KeyRelease {
  readonly key: string;
  /** The value with the draining mark. */
  readonly drainingValue: string;
  /** The lease the key was last put under. */
  readonly lease: string;
  /** Is that one of this process's leases? */
  owns(lease: string): boolean;
  /** ms a call may still take; 0 or less = give up. */
  callTimeoutMs(): number;
}

export type ReleaseOutcome =
  | { readonly type: 'deleted'; /** Why the mark could not be written, if it could not. */ readonly unmarked?: unknown }
  | { readonly type: 'absent' }
  | { readonly type: 'foreign'; readonly holder: EtcdKeyValue }
  | { readonly type: 'failed'; readonly error: unknown };

/**
 * Takes our key out of etcd: the draining mark, and the removal directly after it, each only while the key is under a
 * lease of ours. A mark that fails does not hold up the removal. Never throws.
 */
export async function releaseKey(etcd: EtcdClient, release: KeyRelease): Promise<ReleaseOutcome> {
  const { key, drainingValue: value } = release;
  let lease = release.lease;
  let unmarked: unknown;

  const guarded = async (op: (lease: string) => TxnOp): Promise<'done' | 'absent' | EtcdKeyValue> => {
    for (let round = 0; ; round++) {
      const timeoutMs = release.callTimeoutMs();
      if (timeoutMs <= 0) throw new Error('no time left');
      const answer = await etcd.txn(
        {
          compare: [{ key, target: 'lease', result: 'equal', value: lease }],
          success: [op(lease)],
          failure: [{ type: 'get', key }],
        },
        { timeoutMs },
      );
      if (answer.succeeded) return 'done';
      const found = answer.responses[0]?.kvs[0];
      if (!found) return 'absent';
      // Under another lease of this process when the lease changed while the last put was on its way.
      if (found.lease === lease || !release.owns(found.lease) || round >= MAX_ROUNDS) return found;
      lease = found.lease;
    }
  };

  try {
    const marked = await guarded((lease) => ({ type: 'put', key, value, lease }));
    if (marked === 'absent') return { type: 'absent' };
    if (marked !== 'done') return { type: 'foreign', holder: marked };
  } catch (error) {
    if (isEtcdFailure(error, 'lease-not-found')) return { type: 'absent' };
    if (!etcd.gate.state.open) return { type: 'failed', error };
    unmarked = error;
  }
  try {
    const removed = await guarded(() => ({ type: 'delete', key }));
    if (removed === 'absent') return { type: 'absent' };
    if (removed !== 'done') return { type: 'foreign', holder: removed };
    return { type: 'deleted', ...(unmarked !== undefined && { unmarked }) };
  } catch (error) {
    return { type: 'failed', error };
  }
}
