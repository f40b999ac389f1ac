import type { ModelClient } from './model-client.js';
import type { Stage } from './stage.js';

/** What one watch or registration may ask of etcd in a second at the most; a hot loop asks hundreds of times. */
const REQUESTS_PER_USER = 60;

/** Counts what a process asks of etcd, by the second, and the lists it has under way at once. */
export class RequestMeter {
  private second = 0;
  private count = 0;

  constructor(
    private readonly stage: Stage,
    private readonly name: string,
    client: ModelClient,
    /** Watches and registrations that may be asking. */
    private readonly users: () => number,
  ) {
    client.onRequest = (kind, lists) => {
      this.asked(kind);
      if (lists !== undefined && (client.listing.get(lists) ?? 0) > 1) {
        this.stage.violated('lists side by side', `${this.name} lists ${lists} twice at once`);
      }
    };
  }

  private asked(kind: string): void {
    const second = Math.floor(this.stage.clock.now() / 1_000);
    if (second !== this.second) this.count = 0;
    this.second = second;
    this.count += 1;
    if (this.count < this.users() * REQUESTS_PER_USER) return;
    this.stage.violated('hot loop', `${this.name} has asked etcd ${this.count} times in a second, last: ${kind}`);
  }
}
