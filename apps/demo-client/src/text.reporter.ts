import type { ClientMessage, PhaseReport } from '../../common/src/demo-messages.js';
import { LatencyHistogram } from '../../common/src/latency-histogram.js';
import type { Reporter } from './reporter.interface.js';

const ms = (value: number | undefined): string =>
  value === undefined ? '-' : `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** A line per second, one per change of the instances, and a summary at the end. */
export class TextReporter implements Reporter {
  readonly intervalMs = 1_000;
  private readonly latency = new LatencyHistogram();
  private readonly instances = new Map<string, number>();
  private readonly errors = new Map<string, number>();
  private calls = 0;
  private failed = 0;

  constructor(private readonly print: (line: string) => void) {}

  tell(message: ClientMessage): void {
    switch (message.type) {
      case 'instance':
        this.print(
          `${message.change} ${message.id} at ${message.address}${message.reason ? ` (${message.reason})` : ''}`,
        );
        return;
      case 'report':
        for (const report of Object.values(message.phases)) this.show(report);
        return;
      case 'done':
        this.summarize();
        return;
      default:
    }
  }

  private show(report: PhaseReport): void {
    const latency = LatencyHistogram.from(report.latency);
    this.calls += report.calls;
    this.failed += report.failed;
    this.latency.add(report.latency);
    for (const [id, { calls }] of Object.entries(report.instances)) {
      if (id !== '') this.instances.set(id, (this.instances.get(id) ?? 0) + calls);
    }
    for (const [text, count] of Object.entries(report.errors))
      this.errors.set(text, (this.errors.get(text) ?? 0) + count);
    const shares = Object.entries(report.instances)
      .filter(([id]) => id !== '')
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([id, { calls }]) => `${id} ${calls}`);
    this.print(
      [
        `${report.calls} calls`,
        `${report.failed} failed`,
        `p50 ${ms(latency.percentile(0.5))}`,
        `p99 ${ms(latency.percentile(0.99))}`,
        ...shares,
      ].join(', '),
    );
    for (const [text, count] of Object.entries(report.errors)) this.print(`  ${count} × ${text}`);
  }

  private summarize(): void {
    this.print('');
    this.print(
      `${this.calls} calls, ${this.failed} failed, p50 ${ms(this.latency.percentile(0.5))}, p99 ${ms(this.latency.percentile(0.99))}`,
    );
    for (const [id, calls] of [...this.instances].sort(([a], [b]) => a.localeCompare(b)))
      this.print(`  ${id}: ${calls} calls`);
    for (const [text, count] of this.errors) this.print(`  ${count} × ${text}`);
  }
}
