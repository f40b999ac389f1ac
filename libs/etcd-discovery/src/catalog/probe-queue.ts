import type { Probe } from './connection-check.js';

/** Probes under way at a time: a lost data centre must not cost this process its sockets. */
const CONCURRENCY = 64;

interface Waiting {
  readonly host: string;
  readonly port: number;
  readonly signal: AbortSignal;
  readonly answer: (accepted: boolean) => void;
}

/** Probes, some at a time and in order; one that is aborted while it waits is never made. */
export class ProbeQueue {
  private readonly waiting = new Set<Waiting>();
  private running = 0;

  constructor(private readonly probe: Probe) {}

  /** Calls `answer` once, unless `signal` aborts before. */
  ask(host: string, port: number, signal: AbortSignal, answer: (accepted: boolean) => void): void {
    this.waiting.add({ host, port, signal, answer });
    this.next();
  }

  private next(): void {
    for (const one of this.waiting) {
      if (this.running >= CONCURRENCY) return;
      this.waiting.delete(one);
      if (!one.signal.aborted) void this.run(one);
    }
  }

  private async run({ host, port, signal, answer }: Waiting): Promise<void> {
    this.running += 1;
    // A probe that breaks its word says nothing about the instance.
    const accepted = await this.probe(host, port, signal).catch(() => true);
    this.running -= 1;
    if (!signal.aborted) answer(accepted);
    this.next();
  }
}
