import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export type Direction = 'up' | 'down';
/** Returns what is passed on of a chunk; undefined drops it. */
export type Filter = (chunk: Buffer, direction: Direction) => Buffer | undefined;

/** Pending while nothing may pass. */
export interface Hold {
  readonly over: Promise<void>;
  readonly end: () => void;
}

export const hold = (): Hold => {
  let end = () => {};
  const over = new Promise<void>((resolve) => (end = resolve));
  return { over, end };
};

interface Loss {
  /** Of the chunks, 0 to 1. */
  readonly share: number;
  readonly retransmitMs: number;
  readonly random: () => number;
}

/** What the links do to what they carry; shared by all links of a proxy. */
export interface Faults {
  refusing: 'no' | 'close' | 'reset';
  delayMs: number;
  loss: Loss | undefined;
  held: Partial<Record<Direction, Hold>>;
  /** Bytes per second towards the clients. */
  slow: number | undefined;
  filter: Filter | undefined;
}

/** One connection through the proxy. */
export interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  /** What may not pass here, whatever holds for the others. */
  held: Partial<Record<Direction, Hold>>;
}

/** No more than this waits in a link, bytes: then its source is not read any more, as with a full receive window. */
const HIGH_WATER = 64 * 1024;
const SLOW_STEP_MS = 20;

/** One direction of one connection: what comes in is passed on in order, after what the faults make of it. */
export class Link {
  private readonly queue: { readonly chunk: Buffer; readonly dueAt: number }[] = [];
  private queued = 0;
  private ended = false;
  private pumping = false;
  private readonly from: Socket;
  private readonly to: Socket;

  private constructor(
    private readonly pair: Pair,
    private readonly direction: Direction,
    private readonly faults: Faults,
    private readonly passed: (bytes: number) => void,
  ) {
    this.from = direction === 'up' ? pair.client : pair.upstream;
    this.to = direction === 'up' ? pair.upstream : pair.client;
  }

  /** Carries what one side sends to the other until it ends. */
  static join(pair: Pair, direction: Direction, faults: Faults, passed: (bytes: number) => void): void {
    const link = new Link(pair, direction, faults, passed);
    const { from } = link;
    from.on('error', () => {});
    from.on('data', (chunk: Buffer) => link.take(chunk));
    // A frozen link hides the end of the other side too, as a lost packet would.
    from.on('end', () => link.end());
    from.on('close', () => link.end());
  }

  private get held(): Hold | undefined {
    return this.faults.held[this.direction] ?? this.pair.held[this.direction];
  }

  private take(chunk: Buffer): void {
    this.queue.push({ chunk, dueAt: performance.now() + this.faults.delayMs + this.retransmissionMs() });
    this.queued += chunk.length;
    if (this.queued > HIGH_WATER) this.from.pause();
    void this.pump();
  }

  /** A chunk that is lost is sent again after a time that doubles, as TCP does; what comes after it has to wait. */
  private retransmissionMs(): number {
    const { loss } = this.faults;
    if (!loss) return 0;
    let ms = 0;
    for (let wait = loss.retransmitMs; loss.random() < loss.share; wait *= 2) ms += wait;
    return ms;
  }

  private end(): void {
    this.ended = true;
    void this.pump();
  }

  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    for (let next = this.queue.shift(); next || this.held; next = this.queue.shift()) {
      // In this order: what was delayed before the freeze is not let out by it.
      const wait = next ? next.dueAt - performance.now() : 0;
      if (wait > 0) await delay(wait);
      while (this.held) await this.held.over;
      if (next) await this.deliver(next.chunk);
    }
    this.pumping = false;
    if (this.ended) this.to.destroySoon();
  }

  private async deliver(chunk: Buffer): Promise<void> {
    const { faults, direction } = this;
    this.queued -= chunk.length;
    const kept = faults.filter ? faults.filter(chunk, direction) : chunk;
    for (let rest = kept ?? Buffer.alloc(0); rest.length > 0;) {
      const slow = direction === 'down' ? faults.slow : undefined;
      const piece =
        slow === undefined ? rest : rest.subarray(0, Math.max(1, Math.round((slow * SLOW_STEP_MS) / 1_000)));
      if (this.to.writable) this.to.write(piece);
      this.passed(piece.length);
      rest = rest.subarray(piece.length);
      if (slow !== undefined) await delay(SLOW_STEP_MS);
    }
    if (this.queued <= HIGH_WATER && this.from.isPaused()) this.from.resume();
  }
}
