import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { OwnEtcd } from './etcd-host.messages.js';

const UP_WITHIN_MS = 20_000;

/** A real etcd of one member: free ports, data in a temporary directory that goes with it. */
export class BinaryEtcd implements OwnEtcd {
  private child: ChildProcess | undefined;
  private log = '';

  private constructor(
    private readonly binary: string,
    private readonly port: number,
    private readonly peerPort: number,
    private readonly directory: string,
    readonly description: string,
  ) {}

  static async start(binary: string): Promise<BinaryEtcd> {
    const version = /etcd Version: (\S+)/.exec(
      execFileSync(binary, ['--version'], { encoding: 'utf8', env: environment() }),
    )?.[1];
    const etcd = new BinaryEtcd(
      binary,
      await freePort(),
      await freePort(),
      await mkdtemp(join(tmpdir(), 'etcd-discovery-demo-')),
      `etcd ${version ?? ''} (${binary})`,
    );
    try {
      await etcd.up();
      return etcd;
    } catch (error) {
      await etcd.close();
      throw error;
    }
  }

  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  async restart(downMs: number): Promise<void> {
    await this.down();
    await delay(downMs);
    await this.up();
  }

  async close(): Promise<void> {
    await this.down();
    await rm(this.directory, { recursive: true, force: true });
  }

  private async up(): Promise<void> {
    const client = `http://${this.endpoint}`;
    const peer = `http://127.0.0.1:${this.peerPort}`;
    const flags = {
      '--data-dir': join(this.directory, 'data'),
      '--listen-client-urls': client,
      '--advertise-client-urls': client,
      '--listen-peer-urls': peer,
      '--initial-advertise-peer-urls': peer,
      '--initial-cluster': `default=${peer}`,
    };
    const child = spawn(this.binary, Object.entries(flags).flat(), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(),
    });
    this.child = child;
    const keep = (chunk: Buffer) => (this.log = (this.log + chunk.toString()).slice(-4_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let ended: string | undefined;
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => (ended ??= `ended with ${signal ?? code}`));
    for (const until = performance.now() + UP_WITHIN_MS; ; await delay(50)) {
      if (ended !== undefined) throw new Error(`${this.binary} ${ended}:\n${this.log}`);
      if (await isHealthy(client)) return;
      if (performance.now() > until)
        throw new Error(`${this.binary} is not healthy after ${UP_WITHIN_MS / 1_000} s:\n${this.log}`);
    }
  }

  private async down(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(force);
  }
}

/** etcd reads ETCD_* as flags: those of the demo are not meant for it. On some platforms it wants to be told twice. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('ETCD_'));
  return { ...Object.fromEntries(own), ...(process.arch === 'arm64' ? { ETCD_UNSUPPORTED_ARCH: 'arm64' } : {}) };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) });
    return ((await response.json()) as { health?: unknown }).health === 'true';
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
