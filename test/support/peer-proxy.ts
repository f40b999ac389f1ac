import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** etcd's peers say in the head of their first request who they are. */
const SENDER = /\r\nX-Server-From: ([0-9a-f]+)\r\n/i;

interface Link {
  readonly peer: Socket;
  readonly member: Socket;
  /** Member id, hexadecimal; unknown before the first request. */
  sender?: string;
  /** Bytes of it were swallowed: it cannot be used any more. */
  broken: boolean;
}

/**
 * Stands before the peer port of one etcd member and can cut it off from some of the others, which no other proxy can:
 * all of them use the one address that the member advertises. What is cut off is a black hole, not a refusal.
 */
export class PeerProxy {
  private readonly links = new Set<Link>();
  private blocked: (sender: string | undefined) => boolean = () => false;

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
  ) {
    server.on('connection', (peer) => this.serve(peer));
  }

  static async start(targetPort: number): Promise<PeerProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new PeerProxy(server, targetPort);
  }

  /** What the member advertises to the others. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Swallows everything on connections of those members, or of all; new connections are accepted and left alone. */
  block(members: readonly string[] | 'all'): void {
    this.blocked = (sender) => members === 'all' || (sender !== undefined && members.includes(sender));
  }

  /** Everything flows again, on new connections. */
  pass(): void {
    this.blocked = () => false;
    for (const link of this.links) if (link.broken) this.end(link);
  }

  async stop(): Promise<void> {
    for (const link of this.links) this.end(link);
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }

  private serve(peer: Socket): void {
    const link: Link = { peer, member: connect({ port: this.targetPort, host: '127.0.0.1' }), broken: false };
    this.links.add(link);
    peer.on('data', (chunk: Buffer) => {
      link.sender ??= SENDER.exec(chunk.toString('latin1'))?.[1];
      this.carry(link, chunk, link.member);
    });
    link.member.on('data', (chunk: Buffer) => this.carry(link, chunk, peer));
    for (const socket of [peer, link.member]) {
      socket.on('error', () => {});
      // The end of one side is hidden from the other, as a lost packet would be.
      socket.on('close', () => this.blocked(link.sender) || this.end(link));
    }
  }

  private carry(link: Link, chunk: Buffer, to: Socket): void {
    if (this.blocked(link.sender)) link.broken = true;
    else if (to.writable) to.write(chunk);
  }

  private end(link: Link): void {
    link.peer.destroy();
    link.member.destroy();
    this.links.delete(link);
  }
}
