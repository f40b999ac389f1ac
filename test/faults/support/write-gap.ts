import { setTimeout as delay } from 'node:timers/promises';
import { RawEtcd } from '../../support/raw-etcd.js';

/** Writes to etcd all the time, as another program would, and knows the longest time in which no write went through. */
export class WriteGap {
  private stopped = false;
  private longest = 0;
  private readonly loops: Promise<void>;
  private lastAt = performance.now();

  private constructor(endpoints: readonly string[]) {
    this.loops = Promise.all(endpoints.map((endpoint) => this.write(endpoint))).then(() => undefined);
  }

  /** @param endpoints each is written to on its own; one write that goes through anywhere ends a gap */
  static start(endpoints: readonly string[]): WriteGap {
    return new WriteGap(endpoints);
  }

  /** Longest gap, ms. */
  async stop(): Promise<number> {
    if (!this.stopped) this.note();
    this.stopped = true;
    await this.loops;
    return this.longest;
  }

  private async write(endpoint: string): Promise<void> {
    const raw = new RawEtcd(endpoint);
    while (!this.stopped) {
      // Its own time limit would hide a shorter gap behind one request that hangs.
      const written = await Promise.race([
        raw.put('/write-gap', String(performance.now())).then(
          () => true,
          () => false,
        ),
        delay(500, false),
      ]);
      if (written && !this.stopped) this.note();
      await delay(20);
    }
    raw.close();
  }

  private note(): void {
    const now = performance.now();
    this.longest = Math.max(this.longest, now - this.lastAt);
    this.lastAt = now;
  }
}
