import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Listens, and accepts nothing: with its queue full, the system lets every further SYN pass in silence. */
const PROGRAM = `
import socket, sys
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(0)
port = server.getsockname()[1]
queued = []
for _ in range(4):
    client = socket.socket()
    client.setblocking(False)
    try:
        client.connect(('127.0.0.1', port))
    except BlockingIOError:
        pass
    queued.append(client)
print(port, flush=True)
sys.stdin.read()
`;

/**
 * A port at which a connection is neither made nor refused, as behind a firewall that drops packets. Needs python3,
 * because Node accepts every connection.
 */
export class UnansweredPort {
  private constructor(
    readonly endpoint: string,
    readonly close: () => void,
  ) {}

  static async open(): Promise<UnansweredPort> {
    const child = spawn('python3', ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = (await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(([code]) => {
        throw new Error(`python3 ended with ${String(code)} before it listened`);
      }),
    ])) as [Buffer];
    return new UnansweredPort(`127.0.0.1:${line.toString().trim()}`, () => child.stdin.end());
  }
}
