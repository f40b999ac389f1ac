import type { EtcdClient } from '../etcd/etcd-client.js';
import { prefixRange } from '../etcd/key-range.js';
import { sleep } from '../utils/abort.js';
import { Backoff } from '../utils/backoff.js';
import type { Clock, Random } from '../utils/clock.js';
import type { Loss } from './standing.js';

/** A key lost again within this time of coming back is not put back in a hot loop. */
const STABLE_MS = 1_000;
/** Over this time the instances of a service that vanished as a whole put themselves back, ms. */
const CROWD_SPREAD_MS = 1_000;
/** How long etcd may take to say what is left of the service, ms; later than that it is busy, and a crowd is likely. */
const LOOK_MS = 500;

export interface ComeBackDeps {
  readonly etcd: EtcdClient;
  /** `<namespace>/<service>/` */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Decides when a lost key is put again. At once, as a rule. U(0, 1 s) later when the whole service vanished, because
 * then everybody else of it has lost its key in the same moment; and with a growing delay when the key is lost again
 * and again.
 *
 * A key found gone after a break of the watch went while etcd was restored or wiped, for all we know: that is a crowd.
 * With the watch in place etcd is asked what the deletion has left of the service: nobody here knows the other
 * instances, and a read of one key name costs etcd microseconds, while each of the writes it spreads is a round of
 * consensus, a sync of the disk and an event to everybody who watches. It is asked as of the revision of the deletion,
 * because later on the first of the crowd would be back and send all others off at once. After the loss of a lease
 * nothing is asked: the session has spread its crowd before the new lease was granted.
 */
export class ComeBack {
  private readonly relapse: Backoff;
  private standsSince = -Infinity;

  constructor(private readonly deps: ComeBackDeps) {
    this.relapse = new Backoff({ initialMs: 50, maxMs: 500 }, deps.random);
  }

  /** The key stands, from now on. */
  succeeded(): void {
    this.standsSince = this.deps.clock.now();
  }

  /** Resolves when the key is to be put again, or when `signal` aborts. Never rejects. */
  async due(loss: Loss, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.deps;
    if (clock.now() - this.standsSince >= STABLE_MS) this.relapse.reset();
    else await sleep(clock, this.relapse.nextDelayMs(), signal);
    if (loss.how === 'gone' && (await this.crowdIsGone(loss.deletedAt, signal)))
      await sleep(clock, random() * CROWD_SPREAD_MS, signal);
  }

  private async crowdIsGone(deletedAt: number | undefined, signal: AbortSignal): Promise<boolean> {
    if (deletedAt === undefined) return true;
    try {
      if ((await this.count(deletedAt, signal)) > 0) return false;
      // One that was alone has no crowd to make room for.
      return (await this.count(deletedAt - 1, signal)) > 1;
    } catch {
      // Whoever cannot know makes room: it costs half a second on average.
      return true;
    }
  }

  /** How many instances the service had at that revision. */
  private async count(revision: number, signal: AbortSignal): Promise<number> {
    const { etcd, prefix } = this.deps;
    const request = { ...prefixRange(prefix), limit: 1, keysOnly: true, revision };
    return (await etcd.range(request, { timeoutMs: LOOK_MS, signal })).count;
  }
}
