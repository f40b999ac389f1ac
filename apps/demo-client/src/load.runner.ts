import type { NotificationClient } from './notification.client.js';
import { CallMix } from './call-mix.js';
import { addressOf, CallStats } from './call-stats.js';
import type { PhaseReport } from '../../common/src/demo-messages.js';

/** How often calls are started. At 200 calls/s that is two at a time. */
const TICK_MS = 10;
/** A client this far behind measures itself, not the service. */
const MAX_IN_FLIGHT = 2_000;

export interface LoadDeps {
  readonly client: NotificationClient;
  readonly owner: string;
  readonly callsPerSecond: number;
  /** Instance id behind an address, for calls that fail. */
  readonly instanceAt: (address: string) => string | undefined;
  /** Called with the first call that is answered. */
  readonly onFirstAnswer: () => void;
}

/**
 * Calls at a steady rate whatever the answers (an open loop: a service that gets slow does not get fewer calls, and no
 * failure hides behind a caller that waits).
 */
export class LoadRunner {
  private readonly mix: CallMix;
  private readonly phases = new Map<string, CallStats>();
  private readonly inFlight = new Set<Promise<void>>();
  private timer: NodeJS.Timeout | undefined;
  private started = 0;
  private startedAt = 0;
  private answered = false;
  phase = 'start';

  constructor(private readonly deps: LoadDeps) {
    this.mix = new CallMix(deps.owner);
  }

  /** The statistics of the phase that is on. */
  get stats(): CallStats {
    return this.statsOf(this.phase);
  }

  start(): void {
    this.startedAt = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** No new calls; resolves when those in flight have ended, which their deadline bounds. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.inFlight);
  }

  /** What happened since the last time, by phase; phases without anything are left out. */
  take(): Record<string, PhaseReport> {
    const reports: Record<string, PhaseReport> = {};
    for (const [phase, stats] of this.phases) if (!stats.empty) reports[phase] = stats.report();
    this.phases.clear();
    return reports;
  }

  private tick(): void {
    const due = Math.floor(((performance.now() - this.startedAt) / 1_000) * this.deps.callsPerSecond);
    for (; this.started < due; this.started += 1) this.call();
  }

  private call(): void {
    const { phase } = this;
    const planned = this.mix.next();
    if (this.inFlight.size >= MAX_IN_FLIGHT) {
      this.statsOf(phase).failedWith(planned.method, '', 0, new Error(`${MAX_IN_FLIGHT} calls in flight already`));
      return;
    }
    const startedAt = performance.now();
    const elapsed = () => performance.now() - startedAt;
    const running = planned
      .run(this.deps.client)
      .then(
        (instance) => {
          this.statsOf(phase).answered(planned.method, instance, elapsed());
          if (this.answered) return;
          this.answered = true;
          this.deps.onFirstAnswer();
        },
        (error: unknown) => {
          const instance = this.deps.instanceAt(addressOf(error) ?? '') ?? '';
          this.statsOf(phase).failedWith(planned.method, instance, elapsed(), error);
        },
      )
      .finally(() => this.inFlight.delete(running));
    this.inFlight.add(running);
  }

  private statsOf(phase: string): CallStats {
    let stats = this.phases.get(phase);
    if (stats === undefined) this.phases.set(phase, (stats = new CallStats()));
    return stats;
  }
}
