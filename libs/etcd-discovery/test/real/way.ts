import { FaultProxy } from '../../../../test/support/fault-proxy.js';
import type { Random } from '../../src/utils/clock.js';
import type { LinkFault } from './operation.js';

/** SETTINGS of a stream, which HTTP/2 does not have: whoever reads it ends the connection. */
const ILLEGAL_FRAME = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 5]);

/**
 * Not bytes at random: after a frame that is too long Node's HTTP/2 neither ends a connection nor sees its end, and only
 * the silence of the watch tells; flipped bits within a value nobody but TLS can tell.
 */
const garbage = (chunk: Buffer): Buffer => Buffer.alloc(chunk.length, ILLEGAL_FRAME);

const FAULTS: Record<LinkFault, (proxy: FaultProxy, n: number, random: Random) => void> = {
  freeze: (proxy) => proxy.freeze(),
  'forget-open': (proxy) => proxy.freezeOpen(),
  'stop-reading': (proxy) => proxy.stopReading(),
  cut: (proxy) => proxy.cut(),
  refuse: (proxy) => proxy.refuse(),
  reset: (proxy) => proxy.reset(),
  delay: (proxy, n) => proxy.delay(30 + 120 * n),
  'slow-read': (proxy, n) => proxy.slowRead(1_000 * 2 ** n),
  loss: (proxy, n, random) => proxy.lose(0.05 * (n + 1), 200, random),
  swallow: (proxy) => proxy.swallowAnswers(),
  garbage: (proxy, n, random) =>
    proxy.damage((chunk, direction) => (direction === 'down' && random() * (n + 1) < 1 ? garbage(chunk) : chunk)),
};

/** TCP gives bytes that are missing or wrong on one connection only with its end. */
const LOSSY: ReadonlySet<LinkFault> = new Set(['swallow', 'garbage']);

/** The ways of one process to etcd: a proxy per endpoint, which have their faults together. */
export class Way {
  /** Something was wrong with it that may have broken a connection. */
  broke = false;
  private lossy = false;

  private constructor(
    private readonly proxies: readonly FaultProxy[],
    private readonly random: Random,
  ) {}

  /** @param count endpoints that all lead to `target` */
  static async open(target: string, count: number, random: Random): Promise<Way> {
    return new Way(await Promise.all(Array.from({ length: count }, () => FaultProxy.start(target))), random);
  }

  get endpoints(): string[] {
    return this.proxies.map(({ endpoint }) => endpoint);
  }

  /** Connections that are open now. */
  get open(): number {
    return this.proxies.reduce((sum, { open }) => sum + open, 0);
  }

  /** In place of what was wrong before. With several proxies, an odd `n` spares the last one. */
  break(what: LinkFault, n: number): void {
    this.mend();
    this.broke = true;
    this.lossy = LOSSY.has(what);
    const concerned = this.proxies.length > 1 && n % 2 === 1 ? this.proxies.slice(0, -1) : this.proxies;
    for (const proxy of concerned) FAULTS[what](proxy, n, this.random);
  }

  mend(): void {
    for (const proxy of this.proxies) {
      if (this.lossy) proxy.reset();
      proxy.pass();
    }
    this.lossy = false;
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
  }
}
