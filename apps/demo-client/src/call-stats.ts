import { status } from '@grpc/grpc-js';
import type { PhaseReport } from '../../common/src/demo-messages.js';
import { LatencyHistogram } from '../../common/src/latency-histogram.js';

type Counts = Record<string, { calls: number; failed: number }>;

/** What happened in one phase since it was last taken. */
export class CallStats {
  private calls = 0;
  private failed = 0;
  private readonly latency = new LatencyHistogram();
  private readonly instances: Counts = Object.create(null) as Counts;
  private readonly methods: Counts = Object.create(null) as Counts;
  private readonly errors: Record<string, number> = Object.create(null) as Record<string, number>;
  private readonly watches = { opened: 0, seen: 0 };

  get empty(): boolean {
    return this.calls === 0 && this.watches.opened === 0 && this.watches.seen === 0;
  }

  answered(method: string, instance: string, ms: number): void {
    this.count(method, instance, ms, false);
  }

  /** A call that gave the caller nothing. Its time counts: a caller waited for it. */
  failedWith(method: string, instance: string, ms: number, error: unknown): void {
    this.count(method, instance, ms, true);
    const text = describeError(method, error);
    this.errors[text] = (this.errors[text] ?? 0) + 1;
  }

  watchOpened(): void {
    this.watches.opened += 1;
  }

  watchSaw(): void {
    this.watches.seen += 1;
  }

  report(): PhaseReport {
    const { calls, failed, instances, methods, errors, watches } = this;
    return { calls, failed, latency: this.latency.toData(), instances, methods, errors, watches };
  }

  private count(method: string, instance: string, ms: number, failed: boolean): void {
    this.calls += 1;
    this.failed += Number(failed);
    this.latency.record(ms);
    for (const counts of [
      (this.instances[instance] ??= { calls: 0, failed: 0 }),
      (this.methods[method] ??= { calls: 0, failed: 0 }),
    ]) {
      counts.calls += 1;
      counts.failed += Number(failed);
    }
  }
}

/** `SendNotification: UNAVAILABLE: …`, without what differs from call to call, so that equal failures add up. */
export function describeError(method: string, error: unknown): string {
  const { code, details, message } = error as {
    code?: unknown;
    details?: string;
    message?: string;
  };
  const name = typeof code === 'number' ? (status[code] ?? String(code)) : 'ERROR';
  const said = [details, message].find((text) => typeof text === 'string') ?? 'no message';
  const text = said.replaceAll(/\d+(\.\d+)?m?s\b/g, '…s');
  return `${method}: ${name}: ${text.slice(0, 200)}`;
}

/** Address that an error of grpc-js names, where it names one. */
export function addressOf(error: unknown): string | undefined {
  const details = (error as { details?: unknown } | undefined)?.details;
  return typeof details === 'string' ? /remote_addr=([^\s,]+)/.exec(details)?.[1] : undefined;
}
