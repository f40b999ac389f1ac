import { readFile } from 'node:fs/promises';
import { TestProcess } from '../../support/child-process.js';
import type { RowContext } from './row-context.js';

/** Ticks of the kernel's process clock a second: `sysconf(_SC_CLK_TCK)`, 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

interface Measured {
  readonly connections: number;
  readonly heap: number;
  readonly instances: number;
}

/** A process of its own that watches services and makes no calls: what it costs while etcd is away. */
export class IdleClient {
  private asked = 0;

  private constructor(private readonly process: TestProcess) {}

  /** Resolves when the cache of every one of `services` is complete. */
  static async start(row: RowContext, etcd: string, services: readonly string[]): Promise<IdleClient> {
    const env = { APP_ETCD: etcd, APP_NAMESPACE: row.namespace, APP_SERVICES: services.join(',') };
    const args = ['--expose-gc', '--enable-source-maps', 'dist/test/fixtures/idle-client.js'];
    const process = row.defer(TestProcess.command(globalThis.process.execPath, args, env, true), (app) =>
      app.dispose(),
    );
    await process.message('watching');
    return new IdleClient(process);
  }

  /** Measures from now until the returned function is called, which notes the figures of promise P1 under `what`. */
  async measure(row: RowContext, what: string): Promise<() => Promise<void>> {
    const before = await this.ask();
    const cpuBefore = await this.cpuSeconds();
    const startedAt = performance.now();
    return async () => {
      const seconds = (performance.now() - startedAt) / 1_000;
      const cpu = (await this.cpuSeconds()) - cpuBefore;
      const after = await this.ask();
      row.figure(`${what}: seconds`, Math.round(seconds));
      row.figure(`${what}: CPU`, (100 * cpu) / seconds, '%', { atMost: 2 });
      row.figure(`${what}: reconnects`, (after.connections - before.connections) / seconds, '/s', {
        atMost: 1,
        // It never gives up: none at all would mean that nobody waits for etcd.
        atLeast: 0.1,
      });
      row.figure(`${what}: heap growth`, (after.heap - before.heap) / 2 ** 20, 'MB', { atMost: 10 });
      row.figure(`${what}: instances lost`, before.instances - after.instances, '', { atMost: 0 });
    };
  }

  private async ask(): Promise<Measured> {
    this.process.child.send('measure');
    return this.process.message<Measured & Record<string, unknown>>(`measured-${++this.asked}`);
  }

  /** User and system time so far. */
  private async cpuSeconds(): Promise<number> {
    const stat = await readFile(`/proc/${this.process.pid}/stat`, 'utf8');
    // After the name, which may hold spaces: state is field 3, utime and stime are 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }
}
