import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';

const LISTENS = `
const server = require('node:net').createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => console.log(server.address().port));
`;
/** Connections that the system completes by itself before it lets further SYNs pass in silence, and some to spare. */
const QUEUED = 4;

/**
 * A port at which a connection is neither made nor refused, as behind a firewall that drops packets: whoever listens is
 * stopped, and its queue is full.
 */
export class UnansweredPort {
  private constructor(
    readonly endpoint: string,
    readonly close: () => void,
  ) {}

  static async open(): Promise<UnansweredPort> {
    const child = spawn(process.execPath, ['-e', LISTENS], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`the listener ended with ${String(code)} before it listened`);
    });
    const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer];
    ended.catch(() => {});
    child.kill('SIGSTOP');
    const port = Number(line.toString());
    const queued = Array.from({ length: QUEUED }, (): Socket => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      return socket.unref();
    });
    // The first fills the queue when it is connected; the rest are dropped or wait like everybody after them.
    await once(queued[0]!, 'connect');
    return new UnansweredPort(`127.0.0.1:${port}`, () => {
      for (const socket of queued) socket.destroy();
      child.kill('SIGKILL');
    });
  }
}
