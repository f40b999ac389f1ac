import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../../common/src/project-root.js';

const TAIL_LINES = 40;

export interface ChildOptions {
  /** For messages: `server 2`. */
  readonly name: string;
  /** Compiled script, relative to the compiled `apps` folder: `notification-server/src/main.js`. */
  readonly script: string;
  readonly args?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly onMessage?: (message: unknown) => void;
  /** Called when it ends without having been told to. */
  readonly onUnexpectedExit: (child: Child, how: string) => void;
}

/** A Node process of the demo: started with an IPC channel, whose end tells it that the demo is gone. */
export class Child {
  readonly name: string;
  readonly exited: Promise<void>;
  private readonly process: ChildProcess;
  private readonly tail: string[] = [];
  private expected = false;
  private ended = false;

  constructor(options: ChildOptions) {
    this.name = options.name;
    const script = fileURLToPath(new URL(`../../../${options.script}`, import.meta.url));
    this.process = spawn(process.execPath, ['--enable-source-maps', script, ...(options.args ?? [])], {
      // Where config/ is, whatever directory the demo was started from.
      cwd: projectRoot(),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...options.env, NO_COLOR: '1' },
      // Its own process group: Ctrl+C reaches the demo alone, which then stops everything in order.
      detached: true,
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.keep(text));
    }
    if (options.onMessage !== undefined) this.process.on('message', options.onMessage);
    this.exited = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.ended) return;
        this.ended = true;
        resolve();
        if (!this.expected) options.onUnexpectedExit(this, how);
      };
      this.process.once('exit', (code, signal) => end(signal ?? `code ${code}`));
      this.process.once('error', (error) => end(error.message));
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** The last lines it printed. */
  get output(): string {
    return this.tail.join('\n');
  }

  tell(message: object): void {
    // The callback takes the error of a channel that just closed.
    if (this.process.connected) this.process.send(message, () => {});
  }

  /** It may end from now on. */
  expectExit(): void {
    this.expected = true;
  }

  /** SIGTERM, and SIGKILL to whoever has not ended after `withinMs`. */
  async stop(withinMs = 15_000): Promise<void> {
    this.expectExit();
    this.process.kill('SIGTERM');
    await this.exitedWithin(withinMs);
  }

  /** Waits for the end and enforces it after `withinMs`. */
  async exitedWithin(withinMs: number): Promise<void> {
    this.expectExit();
    const force = setTimeout(() => this.process.kill('SIGKILL'), withinMs);
    await this.exited;
    clearTimeout(force);
  }

  /** `kill -9`. */
  kill(): void {
    this.expectExit();
    this.process.kill('SIGKILL');
  }

  private keep(text: string): void {
    this.tail.push(...text.split('\n').filter((line) => line.trim() !== ''));
    this.tail.splice(0, this.tail.length - TAIL_LINES);
  }
}
