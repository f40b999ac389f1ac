import type { ServiceInstance } from '../instance/service-instance.js';
import { quote } from '../instance/text.js';
import type { Log } from '../utils/log.js';
import type { ServiceEvent } from './service-catalog.js';
import type { DeadReason } from './suspect-checks.js';

const NAMES_IN_A_LINE = 5;

const FATES: Record<DeadReason, string> = {
  failed: 'whose connection failed',
  lost: 'whose connection broke',
  refused: 'that accepted no connection',
  timeout: 'after discovery.suspectTimeout',
};

/** Tells people of the suspects of one service: a line when there are some, a line when there are none any more. */
export class SuspectReport {
  private active = false;
  private readonly fates = new Map<string, number>();
  private readonly reasons = new Map<ServiceInstance, DeadReason>();

  constructor(
    private readonly log: Log,
    private readonly service: string,
    private readonly timeoutMs: number,
  ) {}

  /** A suspect is about to be let go for this reason. */
  dropping(suspect: ServiceInstance, reason: DeadReason): void {
    this.reasons.set(suspect, reason);
  }

  /** What a step told users, the suspects after it, and how many instances were known before it. */
  follow(events: readonly ServiceEvent[], suspects: ReadonlyMap<string, ServiceInstance>, known: number): void {
    for (const event of events) if (event.previous?.suspect) this.count(this.fateOf(event, event.previous));
    this.reasons.clear();
    if (!this.active && suspects.size > 0) {
      this.active = true;
      this.log.warn(this.begun([...suspects.values()], known));
    } else if (this.active && suspects.size === 0) {
      this.active = false;
      const fates = [...this.fates].map(([fate, count]) => `${count} ${fate}`);
      this.fates.clear();
      this.log.log(`service ${quote(this.service)} has no suspects any more: ${fates.join(', ') || 'all are gone'}`);
    }
  }

  private fateOf({ type, reason }: ServiceEvent, suspect: ServiceInstance): string {
    if (type === 'updated') return 'registered again';
    if (reason === 'drained') return 'left';
    const dead = this.reasons.get(suspect);
    return dead ? `dropped ${FATES[dead]}` : 'replaced at the same address';
  }

  private count(fate: string): void {
    this.fates.set(fate, (this.fates.get(fate) ?? 0) + 1);
  }

  private begun(suspects: readonly ServiceInstance[], known: number): string {
    const names = suspects.slice(0, NAMES_IN_A_LINE).map(({ id, address }) => `${quote(id)} at ${quote(address)}`);
    const more = suspects.length > names.length ? ` and ${suspects.length - names.length} more` : '';
    return (
      `service ${quote(this.service)}: ${suspects.length} of ${known} instances vanished from etcd without having left ` +
      `(${names.join(', ')}${more}). Less than half of the most of the last 5 min would remain, which may be the fault ` +
      `of etcd: they stay in use as suspects until their connections fail, at most ${this.timeoutMs / 1_000} s`
    );
  }
}
