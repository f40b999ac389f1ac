import { connect, createServer, type Server, type Socket } from 'node:net';

/** One client connection and, unless it came while paused, its connection to the server behind. */
interface Link {
  readonly client: Socket;
  server?: Socket;
}

/**
 * Passes bytes between clients and the server behind it, so that a test can do what a stopped process does: connections
 * are accepted and stay open, but not a byte moves, HTTP/2 settings and ping answers included.
 */
export class TcpRelay {
  private readonly links = new Set<Link>();
  private listener: Server | undefined;
  private paused = false;
  private targetPort = 0;

  /**
   * Listens on `host:port` (0 = any free port), relays to `targetPort` on loopback, and returns the port.
   *
   * @throws Error of the system, for example EADDRINUSE
   */
  async listen(host: string, port: number, targetPort: number): Promise<number> {
    this.targetPort = targetPort;
    const listener = createServer({ noDelay: true, pauseOnConnect: true }, (client) => this.accept(client));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(port, host, resolve);
    });
    this.listener = listener;
    return (listener.address() as { port: number }).port;
  }

  pause(): void {
    this.paused = true;
    for (const link of this.links) {
      link.client.unpipe().pause();
      link.server?.unpipe().pause();
    }
  }

  resume(): void {
    this.paused = false;
    for (const link of this.links) this.flow(link);
  }

  /** Stops listening and breaks every connection; resolves when the port is free again. */
  async close(): Promise<void> {
    this.paused = false;
    const { listener } = this;
    this.listener = undefined;
    const closed = new Promise<void>((resolve) => (listener ? listener.close(() => resolve()) : resolve()));
    for (const { client, server } of this.links) {
      client.destroy();
      server?.destroy();
    }
    await closed;
  }

  private accept(client: Socket): void {
    const link: Link = { client };
    this.links.add(link);
    this.bind(link, client);
    if (!this.paused) this.flow(link);
  }

  private flow(link: Link): void {
    if (!link.server) {
      link.server = connect({ host: '127.0.0.1', port: this.targetPort, noDelay: true });
      this.bind(link, link.server);
    }
    link.client.pipe(link.server);
    link.server.pipe(link.client);
  }

  /** The end of one side is the end of both. */
  private bind(link: Link, socket: Socket): void {
    // An error is followed by 'close'; without a listener it would end the process.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.links.delete(link);
      link.client.destroy();
      link.server?.destroy();
    });
  }
}
