import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from './monotonic.js';

/** What a process has used since its start, at one moment. */
export interface Usage {
  /** On the machine's monotonic clock. */
  readonly atMs: number;
  /** On all its threads together. */
  readonly cpuMs: number;
  /** Handed to `write(2)`, sockets and files alike. */
  readonly writtenBytes: number;
}

/**
 * Reads from /proc, which costs the process nothing: asked for its own /metrics, an etcd spends more on the answer than
 * on fifty lists. `schedstat` counts nanoseconds, where `stat` has ticks of 10 ms.
 */
export const usageOf = (pid: number): Usage => {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const cpuNs = tasks.map((task) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    } catch {
      // A thread that ended since the directory was read.
      return 0;
    }
  });
  const written = /^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1];
  return {
    atMs: monotonicMs(),
    cpuMs: cpuNs.reduce((sum, ns) => sum + ns, 0) / 1e6,
    writtenBytes: Number(written),
  };
};

/** Looks at a process every `everyMs` until it is stopped. */
export class UsageSampler {
  readonly samples: Usage[] = [];
  private stopped = false;
  private readonly loop: Promise<void>;

  constructor(
    private readonly pid: number,
    private readonly everyMs: number,
  ) {
    this.loop = this.run();
  }

  async stop(): Promise<readonly Usage[]> {
    this.stopped = true;
    await this.loop;
    return this.samples;
  }

  private async run(): Promise<void> {
    for (; !this.stopped; await delay(this.everyMs)) this.samples.push(usageOf(this.pid));
  }
}

/** The most that `of` grew by in a window of at least `windowMs`, per second. */
export const peakRate = (samples: readonly Usage[], of: (usage: Usage) => number, windowMs: number): number => {
  let peak = 0;
  let from = 0;
  for (const sample of samples) {
    while (from + 1 < samples.length && sample.atMs - samples[from + 1]!.atMs >= windowMs) from++;
    const first = samples[from]!;
    const spanMs = sample.atMs - first.atMs;
    if (spanMs >= windowMs) peak = Math.max(peak, ((of(sample) - of(first)) / spanMs) * 1_000);
  }
  return peak;
};

/** The most moments within any `windowMs`, per second. */
export const peakPerSecond = (moments: readonly number[], windowMs: number): number => {
  const sorted = moments.toSorted((a, b) => a - b);
  let peak = 0;
  let from = 0;
  sorted.forEach((moment, index) => {
    while (moment - sorted[from]! >= windowMs) from++;
    peak = Math.max(peak, index - from + 1);
  });
  return (peak * 1_000) / windowMs;
};
