import type { EtcdClient } from '../etcd/etcd-client.js';
import { sleep } from '../utils/abort.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { RetryDelay } from './retry-delay.js';

/** A write that timed out may still be applied when etcd comes out of a pause; by then it has been. */
const SECOND_LOOK_MS = 5_000;
/** Over this time those who find etcd back look whether it was restored, ms. */
const LOOK_SPREAD_MS = 1_000;
/** So many removed keys are looked for, so that a process that registers and leaves for ever does not grow. */
const MAX_REMOVED = 64;

interface Leftover {
  readonly lease: string;
  readonly stop: AbortController;
  readonly gone: Promise<void>;
}

/**
 * Keys whose removal etcd did not confirm. The process goes on living and renewing its lease, so they would stay for as
 * long as it does: they are removed as soon as etcd answers, and only while they are under the lease they were put
 * under. At the end of the process the revoke of the lease takes care of them.
 *
 * A restored etcd brings removed keys back, together with the lease that this process goes on renewing. So whenever etcd
 * has been away they are looked for, and removed once more.
 */
export class LeftoverKeys {
  private readonly keys = new Map<string, Leftover>();
  /** Keys that are gone, and the lease they were under; the latest removal last. */
  private readonly removed = new Map<string, string>();
  private stopListening?: () => void;
  private closed = false;

  constructor(private readonly deps: { etcd: EtcdClient; clock: Clock; random: Random; log: Log }) {}

  /** `unsettled`: a put of the key was never answered, so it may appear after the removal. */
  add(key: string, lease: string, unsettled: boolean): void {
    if (this.closed || this.keys.has(key)) return;
    const stop = new AbortController();
    const gone = this.remove(key, lease, unsettled, stop.signal).finally(() => this.keys.delete(key));
    this.keys.set(key, { lease, stop, gone });
  }

  /** The key is gone, as far as etcd has said. */
  wasRemoved(key: string, lease: string): void {
    if (this.closed) return;
    this.removed.delete(key);
    this.removed.set(key, lease);
    for (const oldest of this.removed.keys()) {
      if (this.removed.size <= MAX_REMOVED) break;
      this.removed.delete(oldest);
    }
    this.stopListening ??= this.deps.etcd.gate.onChange(({ open }) => open && this.lookForRemoved());
  }

  /** Nobody renews the lease any more: its keys end with it, also those that a restore brings back. */
  leaseEnded(lease: string): void {
    for (const [key, under] of this.removed) if (under === lease) this.removed.delete(key);
  }

  /** The key is wanted again: resolves when no removal of it is under way any more. */
  async forget(key: string): Promise<void> {
    const leftover = this.keys.get(key);
    leftover?.stop.abort();
    await leftover?.gone;
    // After the wait: a removal that was in flight may have been done.
    this.removed.delete(key);
  }

  /** Stops trying. Idempotent. */
  close(): void {
    this.closed = true;
    this.stopListening?.();
    this.removed.clear();
    for (const { stop } of this.keys.values()) stop.abort();
  }

  private lookForRemoved(): void {
    for (const [key, lease] of this.removed) {
      if (this.keys.has(key)) continue;
      const stop = new AbortController();
      const gone = this.look(key, lease, stop.signal).finally(() => this.keys.delete(key));
      this.keys.set(key, { lease, stop, gone });
    }
  }

  /** Reads the key, which costs etcd little, and removes it only if it is back: a removal is a write, done or not. */
  private async look(key: string, lease: string, signal: AbortSignal): Promise<void> {
    const { etcd, clock, random } = this.deps;
    const retry = new RetryDelay(random);
    await sleep(clock, LOOK_SPREAD_MS * random(), signal);
    while (!signal.aborted) {
      await etcd.gate.whenOpen(signal);
      if (signal.aborted) return;
      try {
        const { kvs } = await etcd.range({ key, keysOnly: true }, { signal });
        if (kvs[0]?.lease === lease) await this.remove(key, lease, false, signal);
        return;
      } catch (error) {
        await sleep(clock, retry.nextDelayMs(error), signal);
      }
    }
  }

  private async remove(key: string, lease: string, unsettled: boolean, signal: AbortSignal): Promise<void> {
    const { etcd, clock, random, log } = this.deps;
    const retry = new RetryDelay(random);
    for (let looks = unsettled ? 2 : 1; looks > 0 && !signal.aborted;) {
      await etcd.gate.whenOpen(signal);
      if (signal.aborted) return;
      try {
        await etcd.txn({
          compare: [{ key, target: 'lease', result: 'equal', value: lease }],
          success: [{ type: 'delete', key }],
        });
        looks--;
        if (looks > 0) await sleep(clock, SECOND_LOOK_MS, signal);
        else {
          log.log(`${key}: removed, now that etcd answers.`);
          this.wasRemoved(key, lease);
        }
      } catch (error) {
        await sleep(clock, retry.nextDelayMs(error), signal);
      }
    }
  }
}
