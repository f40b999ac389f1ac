import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FaultProxy } from './fault-proxy.js';

/** Answers everything with the same bytes; `pour` sends without being asked. */
class EchoServer {
  readonly sockets: Socket[] = [];
  received = '';

  private constructor(private readonly server: Server) {}

  static async start(): Promise<EchoServer> {
    const server = createServer();
    const echo = new EchoServer(server);
    server.on('connection', (socket) => {
      echo.sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        echo.received += chunk.toString();
        socket.write(chunk);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return echo;
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.server.address() as { port: number }).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

describe('a fault proxy', () => {
  let server: EchoServer;
  let proxy: FaultProxy;
  const clients: Socket[] = [];

  beforeEach(async () => {
    server = await EchoServer.start();
    proxy = await FaultProxy.start(server.endpoint);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy.stop();
    await server.stop();
  });

  const dial = async () => {
    const socket = connect(proxy.port, '127.0.0.1');
    clients.push(socket);
    const seen = { text: '', end: '', socket };
    socket.on('data', (chunk: Buffer) => (seen.text += chunk.toString()));
    socket.on('end', () => (seen.end ||= 'fin'));
    socket.on('error', (error: NodeJS.ErrnoException) => (seen.end ||= error.code ?? 'error'));
    // One that is refused may be reset before it is told that it was connected.
    await new Promise<void>((resolve) => {
      socket.once('connect', resolve);
      socket.once('close', () => resolve());
    });
    return seen;
  };
  const echoed = async (client: Awaited<ReturnType<typeof dial>>, text: string) => {
    client.socket.write(text);
    await vi.waitFor(() => expect(client.text.endsWith(text)).toBe(true), 5_000);
  };

  it('passes everything on while there is no fault, and counts', async () => {
    const client = await dial();
    await echoed(client, 'one');
    expect(proxy).toMatchObject({ accepted: 1, open: 1, bytesDown: 3 });
    client.socket.end();
    await vi.waitFor(() => expect(client.end).toBe('fin'));
    await vi.waitFor(() => expect(proxy.open).toBe(0));
  });

  it('delays both ways and keeps the order', async () => {
    const client = await dial();
    proxy.delay(60);
    const startedAt = performance.now();
    client.socket.write('a');
    await echoed(client, 'ab');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(115);
    expect(client.text).toBe('aab');
  });

  it('holds up what is lost, and what comes behind it, for the time of the retransmissions', async () => {
    const client = await dial();
    // The first chunk is lost twice: 100 ms and 200 ms; nothing else is.
    const dice = [0, 0, 1];
    proxy.lose(0.1, 100, () => dice.shift() ?? 1);
    const startedAt = performance.now();
    await echoed(client, 'late');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(295);
    await echoed(client, 'in time');
    expect(client.text).toBe('latein time');
  });

  it('freezes without a word, new connections too, and lets go of everything afterwards', async () => {
    const old = await dial();
    await echoed(old, 'before');
    proxy.freeze();
    old.socket.write('during');
    server.sockets[0]!.end();
    const young = await dial();
    young.socket.write('hello');
    // A third party is served meanwhile, so that enough time has passed to see what must not come.
    const other = await FaultProxy.start(server.endpoint);
    const direct = connect(other.port, '127.0.0.1');
    clients.push(direct);
    direct.write('direct');
    await once(direct, 'data');
    expect([old.text, old.end, young.text, young.end]).toEqual(['before', '', '', '']);
    expect(server.received).toBe('beforedirect');
    proxy.pass();
    await vi.waitFor(() => expect([old.end, young.text]).toEqual(['fin', 'hello']));
    await other.stop();
  });

  it('forgets open connections and serves new ones', async () => {
    const old = await dial();
    await echoed(old, 'before');
    proxy.freezeOpen();
    old.socket.write('during');
    const young = await dial();
    await echoed(young, 'new');
    expect([old.text, old.end]).toEqual(['before', '']);
    proxy.pass();
    await vi.waitFor(() => expect(old.text).toBe('beforeduring'));
  });

  it('stops reading, so that the server cannot write on, while requests still pass', async () => {
    const client = await dial();
    await echoed(client, 'x');
    proxy.stopReading();
    const flood = Buffer.alloc(1024 * 1024, 'f');
    const [socket] = server.sockets;
    for (let sent = 0; sent < 32; sent++) socket!.write(flood);
    await vi.waitFor(() => expect(socket!.writableLength).toBeGreaterThan(8 * flood.length));
    client.socket.write('request');
    await vi.waitFor(() => expect(server.received).toBe('xrequest'));
    expect(client.text).toBe('x');
  });

  it('swallows answers only', async () => {
    const client = await dial();
    proxy.swallowAnswers();
    client.socket.write('asked');
    await vi.waitFor(() => expect(server.received).toBe('asked'));
    proxy.pass();
    await echoed(client, 'again');
    expect(client.text).toBe('again');
  });

  it('lets the clients read slowly', async () => {
    const client = await dial();
    proxy.slowRead(1_000);
    const startedAt = performance.now();
    await echoed(client, 'y'.repeat(200));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(150);
  });

  it('damages what a filter damages', async () => {
    const client = await dial();
    proxy.damage((chunk, direction) => (direction === 'down' ? chunk.subarray(0, 2) : chunk));
    client.socket.write('whole');
    await vi.waitFor(() => expect(client.text).toBe('wh'));
    expect(server.received).toBe('whole');
  });

  it('cuts with FIN, resets with RST, and refuses new connections if told so', async () => {
    const cut = await dial();
    await echoed(cut, '1');
    proxy.cut();
    await vi.waitFor(() => expect(cut.end).toBe('fin'));
    const refused = await dial();
    await vi.waitFor(() => expect(refused.end).toBe('fin'));
    proxy.pass();

    const reset = await dial();
    await echoed(reset, '2');
    proxy.reset();
    await vi.waitFor(() => expect(reset.end).toBe('ECONNRESET'));
    await echoed(await dial(), '3');
    proxy.refuse();
    const client = await dial();
    await vi.waitFor(() => expect(client.end).toBe('ECONNRESET'));
    await vi.waitFor(() => expect(proxy.open).toBe(0));
  });

  it('sends new connections elsewhere when it is told to', async () => {
    const other = await EchoServer.start();
    const old = await dial();
    await echoed(old, 'a');
    proxy.retarget(other.endpoint);
    await echoed(await dial(), 'b');
    await echoed(old, 'c');
    expect([server.received, other.received]).toEqual(['ac', 'b']);
    await other.stop();
  });
});
