import { isEtcdFailure } from '../etcd/etcd-status.js';
import { Backoff } from '../utils/backoff.js';
import type { Random } from '../utils/clock.js';

/** etcd could not be reached or used from here: the connectivity gate reports that and waits for it. */
export const isOutage = (error: unknown): boolean => isEtcdFailure(error, 'unreachable', 'auth', 'tls', 'cancelled');

/**
 * How long to wait before a failed request is made again: up to 1 s when etcd was not reached (the connectivity gate
 * does the rest of the waiting), up to 4 s when a healthy etcd refused it (backend full, no permission), because asking
 * again will hardly help; with the answer to it, a registration stands within 5 s of the cause being gone.
 */
export class RetryDelay {
  private readonly unreached: Backoff;
  private readonly refused: Backoff;

  constructor(random: Random) {
    this.unreached = new Backoff({ initialMs: 100, maxMs: 1_000 }, random);
    this.refused = new Backoff({ initialMs: 500, maxMs: 4_000 }, random);
  }

  nextDelayMs(error: unknown): number {
    return (isOutage(error) ? this.unreached : this.refused).nextDelayMs();
  }

  reset(): void {
    this.unreached.reset();
    this.refused.reset();
  }
}
