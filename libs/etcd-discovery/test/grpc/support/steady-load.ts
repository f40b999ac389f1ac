import { expect, vi } from 'vitest';

/** Calls that go on until they are stopped, so many at a time, with what became of them. */
export class SteadyLoad {
  done = 0;
  readonly failures: unknown[] = [];
  private running = true;
  private readonly workers: Promise<unknown>;

  constructor(
    private readonly call: () => Promise<unknown>,
    concurrency: number,
  ) {
    this.workers = Promise.all(Array.from({ length: concurrency }, () => this.work()));
  }

  /** Resolves when so many more calls have ended. */
  progress(calls: number): Promise<void> {
    const goal = this.done + this.failures.length + calls;
    return vi.waitFor(() => expect(this.done + this.failures.length).toBeGreaterThanOrEqual(goal), {
      timeout: 10_000,
    });
  }

  async stop(): Promise<void> {
    this.running = false;
    await this.workers;
  }

  private async work(): Promise<void> {
    while (this.running) {
      await this.call().then(
        () => this.done++,
        (error: unknown) => this.failures.push(error),
      );
    }
  }
}
