import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';
import { type Faults, type Filter, Link, type Pair, hold } from './fault-link.js';

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
    // One that is reset while its upstream is being refused may end without a word.
    for (const pair of this.pairs) if (pair.client.destroyed && pair.upstream.destroyed) this.pairs.delete(pair);
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
