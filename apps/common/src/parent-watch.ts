import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process as far as we need to know it. */
export interface ProcessInfo {
  readonly ppid: number;
  readonly command: string;
}

export interface ParentWatchOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Called once, when a parent is gone. Default: SIGTERM to this process, which stops it as `kill` would. */
  readonly stop?: (reason: string) => void;
  readonly intervalMs?: number;
  readonly inspect?: (pid: number) => ProcessInfo | undefined;
  readonly self?: number;
  /** The IPC channel to whoever started this process. */
  readonly channel?: { unref(): void } | undefined;
}

/** Deep enough for npm, its shell, the Nest CLI and another shell. */
const MAX_ANCESTORS = 8;
const PACKAGE_MANAGER = /^(\S*\/)?(node\S* \S*\/)?(npm|npx|pnpm|yarn)(-cli\.c?js|\.c?js)?( |$)/;

/**
 * Stops the process when whoever started it is gone. `npx` and `npm` die of a SIGTERM without passing it on, and their
 * orphan would keep its port and renew its lease for ever.
 *
 * Active with an IPC channel (started by another program: stops when the channel closes), or under npm, npx, pnpm or
 * yarn. Started any other way (`node dist/…`, a supervisor, a container) the process lives on its own, as daemons do.
 *
 * @returns a function that ends the watch
 */
export function watchParent(options: ParentWatchOptions = {}): () => void {
  const { env = process.env, stop = terminate, inspect = inspectProcess, self = process.pid } = options;
  const channel = 'channel' in options ? options.channel : process.channel;
  // Where a look costs a process of its own, look less often.
  const { intervalMs = process.platform === 'linux' ? 500 : 3_000 } = options;
  if (channel !== undefined && channel !== null) {
    const onDisconnect = () => stop('the program that started this process is gone');
    process.once('disconnect', onDisconnect);
    // The listener alone would keep the process alive.
    channel.unref();
    return () => process.off('disconnect', onDisconnect);
  }
  if (env['npm_execpath'] === undefined && env['npm_command'] === undefined) return () => {};
  const chain = watchedChain(self, inspect);
  const timer = setInterval(() => {
    const orphan = chain.find(({ pid, ppid }) => inspect(pid)?.ppid !== ppid);
    if (orphan === undefined) return;
    clearInterval(timer);
    stop(`process ${orphan.ppid}, which started this one, is gone`);
  }, intervalMs);
  // Watching a parent is no reason to stay alive.
  timer.unref();
  return () => clearInterval(timer);
}

/**
 * This process and its ancestors up to, not including, the topmost package manager: each must keep its parent. Whatever
 * started the package manager may leave (`nohup npm start &`).
 */
export function watchedChain(
  self: number,
  inspect: (pid: number) => ProcessInfo | undefined,
): readonly { readonly pid: number; readonly ppid: number }[] {
  const chain: { pid: number; ppid: number }[] = [];
  let length = 0;
  let pid = self;
  while (chain.length < MAX_ANCESTORS) {
    const info = inspect(pid);
    if (info === undefined || info.ppid <= 1) break;
    chain.push({ pid, ppid: info.ppid });
    const parent = inspect(info.ppid);
    if (parent !== undefined && PACKAGE_MANAGER.test(parent.command)) length = chain.length;
    pid = info.ppid;
  }
  // No package manager in sight (its title is not readable everywhere): the direct parent has to do.
  return chain.slice(0, length > 0 ? length : 1);
}

function terminate(reason: string): void {
  // Output may be gone with the parent; a failing write must not keep this process from leaving etcd.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  process.stderr.write(`stopping: ${reason}\n`);
  process.kill(process.pid, 'SIGTERM');
}

function inspectProcess(pid: number): ProcessInfo | undefined {
  try {
    if (process.platform === 'linux') {
      // "pid (name) state ppid …"; the name may hold spaces and parentheses.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const ppid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      return { ppid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() };
    }
    if (pid === process.pid) return { ppid: process.ppid, command: '' };
    if (process.platform === 'win32') return undefined;
    const line = execFileSync('ps', ['-o', 'ppid=,command=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    const [ppid, ...command] = line.split(/\s+/);
    return { ppid: Number(ppid), command: command.join(' ') };
  } catch {
    return undefined;
  }
}
