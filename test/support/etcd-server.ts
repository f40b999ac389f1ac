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
  /** Member name. Default: `default`, as etcd's own. */
  readonly name?: string;
  /** An existing directory for its data, removed by `stop()`. Default: a temporary one. */
  readonly dir?: string;
}

/** How a member finds the others. */
export interface ClusterFlags {
  /** `name=peer-url,…` of every member. */
  readonly initialCluster: string;
  /** `new` while the cluster is made, `existing` for a member that joins one. */
  readonly state: 'new' | 'existing';
  /** Where the others reach this member, when that is not where it listens. */
  readonly advertisedPeer?: string;
}

/** A real etcd, of one member unless told otherwise, in its own process, with its data in a temporary directory. */
export class EtcdServer {
  private child: ChildProcess | undefined;
  private cluster: ClusterFlags;

  private constructor(
    private readonly binaries: EtcdBinaries,
    readonly name: string,
    readonly port: number,
    private readonly peerPort: number,
    private readonly dir: string,
    private readonly args: readonly string[],
  ) {
    this.cluster = { initialCluster: `${name}=${this.peerUrl}`, state: 'new' };
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const server = await EtcdServer.prepare(options);
    await server.up();
    return server;
  }

  /** Ports and a directory, but no process yet: `up()` starts it. */
  static async prepare(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    return new EtcdServer(
      await findEtcd(),
      options.name ?? 'default',
      options.port ?? (await freePort()),
      await freePort(),
      options.dir ?? (await mkdtemp(join(tmpdir(), 'etcd-discovery-test-'))),
      options.args ?? [],
    );
  }

  /** Used by the next `up()`. */
  joins(cluster: ClusterFlags): void {
    this.cluster = cluster;
  }

  /** Where it listens for other members. */
  get peerUrl(): string {
    return `http://127.0.0.1:${this.peerPort}`;
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

  /** False after `kill()` and when the process ended by itself. */
  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Starts the process on the same port and data, and waits until it answers: a member needs a quorum for that. */
  async up(): Promise<void> {
    const client = `http://127.0.0.1:${this.port}`;
    const flags = {
      '--name': this.name,
      '--data-dir': this.dataDir,
      '--listen-client-urls': client,
      '--advertise-client-urls': client,
      '--listen-peer-urls': this.peerUrl,
      '--initial-advertise-peer-urls': this.advertisedPeer,
      '--initial-cluster': this.cluster.initialCluster,
      '--initial-cluster-state': this.cluster.state,
      // Alone, nobody can disturb its first election, so it may be quick; a cluster has etcd's defaults.
      ...(this.cluster.initialCluster.includes(',')
        ? {}
        : { '--heartbeat-interval': '50', '--election-timeout': '500' }),
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
    await rm(this.dataDir, { recursive: true, force: true });
  }

  /** Gives back the space of what was compacted; the member answers nobody meanwhile. */
  async defrag(): Promise<void> {
    await this.etcdctl('--command-timeout', '120s', 'defrag');
  }

  /** Makes user `root` with that password and turns authentication on. */
  async enableAuth(password: string): Promise<void> {
    await this.etcdctl('user', 'add', `root:${password}`);
    await this.etcdctl('user', 'grant-role', 'root', 'root');
    await this.etcdctl('auth', 'enable');
  }

  /** A request to etcd's JSON gateway, such as `maintenance/status`; fails when it is not answered within `timeoutMs`. */
  async call(method: string, body: object = {}, timeoutMs = 5_000): Promise<unknown> {
    const response = await fetch(`http://${this.endpoint}/v3/${method}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!response.ok) throw new Error(`${method} at etcd ${this.endpoint}: ${await response.text()}`);
    return response.json();
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
    const flags = {
      '--name': this.name,
      '--data-dir': this.dataDir,
      '--initial-cluster': this.cluster.initialCluster,
      '--initial-advertise-peer-urls': this.advertisedPeer,
    };
    const { etcdctl: binary } = this.binaries;
    if (!binary) throw new Error('etcdctl was not found beside the etcd binary nor on PATH');
    // From etcd 3.6 on it is etcdutl, beside it, that restores.
    const tool = await access(join(dirname(binary), 'etcdutl')).then(
      () => join(dirname(binary), 'etcdutl'),
      () => binary,
    );
    await run(tool, ['snapshot', 'restore', this.backup, ...Object.entries(flags).flat()], {
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

  private get dataDir(): string {
    return join(this.dir, 'data');
  }

  private get advertisedPeer(): string {
    return this.cluster.advertisedPeer ?? this.peerUrl;
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
