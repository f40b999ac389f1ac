import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type EtcdBinaries, findEtcd } from './etcd-binary.js';
import { freePort } from './free-port.js';

const run = promisify(execFile);

export interface EtcdServerOptions {
  /** Further command-line flags, for example `['--auth-token-ttl', '5']`. */
  readonly args?: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
}

/** A real etcd of one member, in its own process, with its data in a temporary directory. */
export class EtcdServer {
  private child: ChildProcess | undefined;

  private constructor(
    private readonly binaries: EtcdBinaries,
    readonly port: number,
    private readonly peerPort: number,
    private readonly dir: string,
    private readonly args: readonly string[],
  ) {}

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const server = new EtcdServer(
      await findEtcd(),
      options.port ?? (await freePort()),
      await freePort(),
      await mkdtemp(join(tmpdir(), 'etcd-discovery-test-')),
      options.args ?? [],
    );
    await server.up();
    return server;
  }

  /** `127.0.0.1:port`. */
  get endpoint(): string {
    return `127.0.0.1:${this.port}`;
  }

  private get backup(): string {
    return join(this.dir, 'backup.db');
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Starts the process on the same port and data, and waits until it answers. */
  async up(): Promise<void> {
    const client = `http://127.0.0.1:${this.port}`;
    const peer = `http://127.0.0.1:${this.peerPort}`;
    const flags = {
      '--data-dir': join(this.dir, 'data'),
      '--listen-client-urls': client,
      '--advertise-client-urls': client,
      '--listen-peer-urls': peer,
      '--initial-advertise-peer-urls': peer,
      '--initial-cluster': `default=${peer}`,
      // Tests only: a quicker first election. What is written still reaches the disk.
      '--heartbeat-interval': '50',
      '--election-timeout': '500',
    };
    const child = spawn(this.binaries.etcd, [...Object.entries(flags).flat(), ...this.args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.env.ETCD_UNSUPPORTED_ARCH ?? process.arch },
    });
    this.child = child;
    let log = '';
    child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4000)));
    let dead: Error | undefined;
    child.once('error', (error) => (dead = error));
    child.once('exit', (code, signal) => (dead ??= new Error(`etcd ended with ${code ?? signal}:\n${log}`)));
    for (const until = performance.now() + 20_000; ; await delay(25)) {
      if (dead) throw dead;
      const healthy = await fetch(`${client}/health`, { signal: AbortSignal.timeout(1_000) })
        .then((response) => response.json() as Promise<{ health: string }>)
        .then((body) => body.health === 'true')
        .catch(() => false);
      if (healthy) return;
      if (performance.now() > until) throw new Error(`etcd was not healthy after 20 s:\n${log}`);
    }
  }

  /** Ends the process without a chance to say goodbye; the data stays. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill(signal);
    await once(child, 'exit');
  }

  /** Kills, waits `downMs`, and starts again on the same data. */
  async restart(downMs = 0): Promise<void> {
    await this.kill();
    await delay(downMs);
    await this.up();
  }

  /** Removes all data, as if the disk had been lost; only while the process is down. */
  async wipe(): Promise<void> {
    await rm(join(this.dir, 'data'), { recursive: true, force: true });
  }

  /** Saves a backup of what is stored now, for `restore`; a later one replaces it. */
  async snapshot(): Promise<void> {
    await rm(this.backup, { force: true });
    await this.etcdctl('snapshot', 'save', this.backup);
  }

  /**
   * Puts the last backup in the place of the data, as an operator does after a loss: same cluster and member id, older
   * revision, terms that begin anew. Only while the process is down.
   */
  async restore(): Promise<void> {
    await this.wipe();
    const peer = `http://127.0.0.1:${this.peerPort}`;
    const place = ['--data-dir', join(this.dir, 'data'), '--initial-cluster', `default=${peer}`];
    const { etcdctl: binary } = this.binaries;
    if (!binary) throw new Error('etcdctl was not found beside the etcd binary nor on PATH');
    // From etcd 3.6 on it is etcdutl, beside it, that restores.
    const tool = await access(join(dirname(binary), 'etcdutl')).then(
      () => join(dirname(binary), 'etcdutl'),
      () => binary,
    );
    await run(tool, ['snapshot', 'restore', this.backup, '--initial-advertise-peer-urls', peer, ...place], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
  }

  /** SIGSTOP: connections stay open, nobody answers. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  /** Runs etcdctl against this server and returns what it printed. */
  etcdctl(...args: string[]): Promise<string> {
    return etcdctl(this.endpoint, args, this.binaries);
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Runs etcdctl (API v3) against `endpoint` and returns its standard output. */
export const etcdctl = async (endpoint: string, args: readonly string[], found?: EtcdBinaries): Promise<string> => {
  const { etcdctl: binary } = found ?? (await findEtcd());
  if (!binary) throw new Error('etcdctl was not found beside the etcd binary nor on PATH');
  const { stdout } = await run(binary, ['--endpoints', endpoint, ...args], {
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  return stdout;
};
