import type { PhaseReport } from '../../../common/src/demo-messages.js';
import { LatencyHistogram } from '../../../common/src/latency-histogram.js';
import type { TrackedChange } from './change-tracker.js';

/** One phase, summed up over all clients. */
export class PhaseRecord {
  calls = 0;
  failed = 0;
  seconds = 0;
  watchesOpened = 0;
  changes: readonly TrackedChange[] = [];
  readonly latency = new LatencyHistogram();
  readonly errors = new Map<string, number>();
  readonly methods = new Map<string, { calls: number; failed: number }>();

  constructor(
    readonly name: string,
    readonly title: string,
  ) {}

  add(report: PhaseReport): void {
    this.calls += report.calls;
    this.failed += report.failed;
    this.watchesOpened += report.watches.opened;
    this.latency.add(report.latency);
    for (const [text, count] of Object.entries(report.errors))
      this.errors.set(text, (this.errors.get(text) ?? 0) + count);
    for (const [method, { calls, failed }] of Object.entries(report.methods)) {
      const sum = this.methods.get(method) ?? { calls: 0, failed: 0 };
      this.methods.set(method, { calls: sum.calls + calls, failed: sum.failed + failed });
    }
  }

  /** Until every client had every change of the phase: milliseconds, `missing` where one never had it, undefined where nothing changed. */
  get changeMs(): number | 'missing' | undefined {
    if (this.changes.length === 0) return undefined;
    const times = this.changes.map(({ tookMs }) => tookMs);
    return times.includes(undefined) ? 'missing' : Math.max(...(times as number[]));
  }

  toJSON() {
    return {
      name: this.name,
      title: this.title,
      seconds: this.seconds,
      calls: this.calls,
      failed: this.failed,
      p50Ms: this.latency.percentile(0.5) ?? null,
      p99Ms: this.latency.percentile(0.99) ?? null,
      allClientsHadTheChangeAfterMs: this.changeMs ?? null,
      changes: this.changes.map(({ kind, pid, tookMs }) => ({ kind, pid, tookMs: tookMs ?? null })),
      watchesOpened: this.watchesOpened,
      methods: Object.fromEntries(this.methods),
      errors: Object.fromEntries(this.errors),
    };
  }
}
