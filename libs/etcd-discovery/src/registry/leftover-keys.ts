import type { EtcdClient } from '../etcd/etcd-client.js';
import { sleep } from '../utils/abort.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { RetryDelay } from './retry-delay.js';

/** A write that timed out may still be applied when etcd comes out of a pause; by then it has been. */
const SECOND_LOOK_MS = 5_000;

interface Leftover {
  readonly lease: string;
  readonly stop: AbortController;
  readonly gone: Promise<void>;
}

/**
 * Keys whose removal etcd did not confirm. The process goes on living and renewing its lease, so they would stay for as
 * long as it does: they are removed as soon as etcd answers, and only while they are under the lease they were put
 * under. At the end of the process the revoke of the lease takes care of them.
 */
export class LeftoverKeys {
  private readonly keys = new Map<string, Leftover>();
  private closed = false;

  constructor(private readonly deps: { etcd: EtcdClient; clock: Clock; random: Random; log: Log }) {}

  /** `unsettled`: a put of the key was never answered, so it may appear after the removal. */
  add(key: string, lease: string, unsettled: boolean): void {
    if (this.closed || this.keys.has(key)) return;
    const stop = new AbortController();
    const gone = this.remove(key, lease, unsettled, stop.signal).finally(() => this.keys.delete(key));
    this.keys.set(key, { lease, stop, gone });
  }

  /** The key is wanted again: resolves when no removal of it is under way any more. */
  async forget(key: string): Promise<void> {
    const leftover = this.keys.get(key);
    leftover?.stop.abort();
    await leftover?.gone;
  }

  /** Stops trying. Idempotent. */
  close(): void {
    this.closed = true;
    for (const { stop } of this.keys.values()) stop.abort();
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
        else log.log(`${key}: removed, now that etcd answers.`);
      } catch (error) {
        await sleep(clock, retry.nextDelayMs(error), signal);
      }
    }
  }
}
