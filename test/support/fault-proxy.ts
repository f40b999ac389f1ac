import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

type Direction = 'up' | 'down';
/** Returns what is passed on of a chunk; undefined drops it. */
type Filter = (chunk: Buffer, direction: Direction) => Buffer | undefined;

/** Pending while nothing may pass. */
interface Hold {
  readonly over: Promise<void>;
  readonly end: () => void;
}

const hold = (): Hold => {
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
interface Faults {
  refusing: 'no' | 'close' | 'reset';
  delayMs: number;
  loss: Loss | undefined;
  held: Partial<Record<Direction, Hold>>;
  /** Bytes per second towards the clients. */
  slow: number | undefined;
  filter: Filter | undefined;
}

/** One connection through the proxy. */
interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  /** What may not pass here, whatever holds for the others. */
  held: Partial<Record<Direction, Hold>>;
}

/** No more than this waits in a link, bytes: then its source is not read any more, as with a full receive window. */
const HIGH_WATER = 64 * 1024;
const SLOW_STEP_MS = 20;

/** One direction of one connection: what comes in is passed on in order, after what the faults make of it. */
class Link {
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

/**
 * A TCP proxy that breaks the ways networks do: it delays, freezes, resets, cuts, swallows answers, reads slowly and
 * damages bytes. A fault holds for open connections and for new ones until `pass()`.
 */
export class FaultProxy {
  /** Connections accepted so far. */
  accepted = 0;
  /** Bytes passed on to the clients so far. */
  bytesDown = 0;
  private readonly faults: Faults = {
    refusing: 'no',
    delayMs: 0,
    loss: undefined,
    held: {},
    slow: undefined,
    filter: undefined,
  };
  private readonly pairs = new Set<Pair>();

  private constructor(
    private readonly server: Server,
    private target: string,
  ) {
    server.on('connection', (client) => this.serve(client));
  }

  /** @param target `host:port` of what is behind it */
  static async start(target: string, port = 0): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new FaultProxy(server, target);
  }

  /** `host:port` that clients use. */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.pairs.size;
  }

  /** New connections go to another server. */
  retarget(target: string): void {
    this.target = target;
  }

  /** Ends every fault; what was held up flows on. */
  pass(): void {
    const holds = [this.faults, ...this.pairs].flatMap(({ held }) => Object.values(held));
    Object.assign(this.faults, { refusing: 'no', delayMs: 0, loss: undefined, held: {}, slow: undefined });
    this.faults.filter = undefined;
    for (const pair of this.pairs) pair.held = {};
    for (const held of holds) held.end();
  }

  /** Every byte arrives so much later, in each direction, ms. */
  delay(ms: number): void {
    this.faults.delayMs = ms;
  }

  /**
   * Loses chunks, which TCP then sends again: each is late by `retransmitMs` (doubled when it is lost once more), and so
   * is everything behind it.
   *
   * @param share how many are lost, 0 to 1
   */
  lose(share: number, retransmitMs: number, random: () => number = Math.random): void {
    this.faults.loss = { share, retransmitMs, random };
  }

  /**
   * A black hole: nothing passes in either direction and nobody is told, neither by FIN nor by RST; new connections are
   * accepted and left alone.
   */
  freeze(): void {
    this.faults.held.up ??= hold();
    this.faults.held.down ??= hold();
  }

  /** The connections that are open now are in a black hole, as when a middlebox has forgotten them; new ones pass. */
  freezeOpen(): void {
    for (const { held } of this.pairs) {
      held.up ??= hold();
      held.down ??= hold();
    }
  }

  /**
   * The connections that are open now are not read any more on the clients' side: the server fills the buffers on the way
   * and then sees a window of zero. Requests and new connections pass.
   */
  stopReading(): void {
    for (const { held } of this.pairs) held.down ??= hold();
  }

  /** Half open: requests reach the server, answers do not come back. */
  swallowAnswers(): void {
    this.damage((chunk, direction) => (direction === 'up' ? chunk : undefined));
  }

  /** At most so many bytes per second and connection reach the clients. */
  slowRead(bytesPerSecond: number): void {
    this.faults.slow = bytesPerSecond;
  }

  /** Every chunk passes through `filter`, which may change, cut or drop it. */
  damage(filter: Filter): void {
    this.faults.filter = filter;
  }

  /** Ends every connection (FIN), and every new one. */
  cut(): void {
    this.faults.refusing = 'close';
    for (const { client, upstream } of this.pairs) for (const socket of [client, upstream]) socket.destroy();
  }

  /** Resets every open connection (RST); new ones pass. */
  reset(): void {
    for (const { client, upstream } of this.pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** Resets every connection (RST), and every new one. */
  refuse(): void {
    this.faults.refusing = 'reset';
    this.reset();
  }

  /** Ends everything; connections to a stopped proxy are refused by the system. */
  async stop(): Promise<void> {
    this.pass();
    this.cut();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }

  private serve(client: Socket): void {
    this.accepted++;
    client.on('error', () => {});
    const { refusing } = this.faults;
    if (refusing === 'reset') return void client.resetAndDestroy();
    if (refusing === 'close') return void client.destroy();
    const colon = this.target.lastIndexOf(':');
    const upstream = connect({
      port: Number(this.target.slice(colon + 1)),
      host: this.target.slice(0, colon),
      allowHalfOpen: true,
    });
    const pair: Pair = { client, upstream, held: {} };
    this.pairs.add(pair);
    Link.join(pair, 'up', this.faults, () => {});
    Link.join(pair, 'down', this.faults, (bytes) => (this.bytesDown += bytes));
    for (const socket of [client, upstream]) {
      socket.once('close', () => client.destroyed && upstream.destroyed && this.pairs.delete(pair));
    }
  }
}
