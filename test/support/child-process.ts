import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

/** The repository's root, from the sources and from `dist/test/support` alike. */
export const repositoryRoot = fileURLToPath(
  new URL(import.meta.url.includes('/dist/test/support/') ? '../../..' : '../..', import.meta.url),
);

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Polls until `check` gives a value; the error says what was waited for and what was there instead. */
export const eventually = async <T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 15_000,
  lastSeen: () => string = () => '',
): Promise<T> => {
  for (const until = performance.now() + timeoutMs; ; await delay(20)) {
    const value = await check();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > until) throw new Error(`${what}: not within ${timeoutMs} ms. ${lastSeen()}`);
  }
};

/** A Node program of its own, started for a test and never left behind. */
export class TestProcess {
  /** Everything it printed so far. */
  output = '';
  /** Messages it sent with `process.send`. */
  readonly messages: Record<string, unknown>[] = [];
  private readonly ended: Promise<Exit>;

  private constructor(
    readonly child: ChildProcess,
    private readonly title: string,
  ) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.on('message', (message) => this.messages.push(message as Record<string, unknown>));
    this.ended = once(child, 'exit').then(([code, signal]) => ({ code, signal }) as Exit);
  }

  /** `node <file> …args` in the repository's root, with an IPC channel. */
  static node(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): TestProcess {
    return TestProcess.command(process.execPath, ['--enable-source-maps', file, ...args], env, true);
  }

  /** A process group of its own, as a shell makes one: `process.kill(-pid, …)` is Ctrl+C. */
  static group(command: string, args: readonly string[], env: NodeJS.ProcessEnv): TestProcess {
    return TestProcess.command(command, args, env, false, repositoryRoot, true);
  }

  static command(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    ipc = false,
    cwd: string = repositoryRoot,
    detached = false,
  ): TestProcess {
    const child = spawn(command, args, {
      cwd,
      detached,
      env: { ...withoutTestRunner(process.env), ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? ['ipc' as const] : [])],
    });
    return new TestProcess(child, [command, ...args].join(' '));
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.title} did not start`);
    return this.child.pid;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits for text on stdout or stderr. */
  async printed(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpExecArray> {
    return eventually(
      `${this.title} prints ${pattern}`,
      () => {
        const match = pattern.exec(this.output);
        if (!match && !this.running)
          throw new Error(`${this.title} ended before it printed ${pattern}:\n${this.output}`);
        return match ?? undefined;
      },
      timeoutMs,
      () => `It printed:\n${this.output}`,
    );
  }

  /** Waits for a message with this `event`. */
  async message<T = Record<string, unknown>>(event: string, timeoutMs = 20_000): Promise<T> {
    return eventually(
      `${this.title} sends "${event}"`,
      () => {
        const found = this.messages.find((message) => message.event === event);
        if (!found && !this.running) throw new Error(`${this.title} ended before it sent "${event}":\n${this.output}`);
        return found as T | undefined;
      },
      timeoutMs,
      () => `It sent ${JSON.stringify(this.messages)} and printed:\n${this.output}`,
    );
  }

  /** Sends it a message, for those that listen on their IPC channel. */
  send(message: object | string): void {
    this.child.send(message);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Resolves with how it ended; fails when it is still there after `timeoutMs`. */
  async exit(timeoutMs = 20_000): Promise<Exit> {
    const late = delay(timeoutMs, undefined, { ref: false }).then(() => {
      throw new Error(`${this.title} still runs after ${timeoutMs} ms. It printed:\n${this.output}`);
    });
    return Promise.race([this.ended, late]);
  }

  /** For teardown: kills what is still there. */
  async dispose(): Promise<void> {
    if (!this.running) return;
    this.child.kill('SIGCONT');
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** What the test runner sets would change what a program under test does. */
const withoutTestRunner = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(VITEST|NODE_ENV$|TEST$|npm_|NODE_OPTIONS$|FORCE_COLOR$)/.test(name)),
  );
