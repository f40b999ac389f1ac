import dns from 'node:dns';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestProcess } from '../../support/child-process.js';
import { execFileSync } from 'node:child_process';
import type { RowContext } from './row-context.js';

/** How a name is answered: with 127.0.0.1, with an error of getaddrinfo, or not at all. */
export type Answer = 'found' | 'ENOTFOUND' | 'EAI_AGAIN' | 'silence';

/** The host name under test. `.test` is reserved: no name server knows it (RFC 6761). */
export const HOST = 'etcd.test';

/** What `HOST` resolves to in this process, and how often it was asked for. Other names are left alone. */
export class NamesHere {
  answer: Answer = 'found';
  lookups = 0;

  static install(row: RowContext): NamesHere {
    const names = new NamesHere();
    const { lookup } = dns.promises;
    // The one function that grpc-js resolves host names with; it takes more forms than anybody here uses.
    dns.promises.lookup = ((host: string, options: object) =>
      host === HOST ? names.lookup() : lookup(host, options)) as unknown as typeof lookup;
    return row.defer(names, () => {
      dns.promises.lookup = lookup;
    });
  }

  private async lookup(): Promise<{ address: string; family: number }[]> {
    this.lookups++;
    const { answer } = this;
    if (answer === 'found') return [{ address: '127.0.0.1', family: 4 }];
    if (answer === 'silence') return new Promise(() => {});
    throw Object.assign(new Error(`getaddrinfo ${answer} ${HOST}`), { code: answer, syscall: 'getaddrinfo' });
  }
}

/** Processes of their own that see an /etc/hosts which the row swaps, and no name server; in a mount namespace. */
export class NamesElsewhere {
  private constructor(
    private readonly hosts: string,
    private readonly resolver: string,
  ) {}

  static async create(row: RowContext): Promise<NamesElsewhere> {
    try {
      execFileSync('unshare', ['--mount', 'mount', '--bind', '/etc/hosts', '/etc/hosts'], { stdio: 'pipe' });
    } catch (error) {
      row.notInjectable(`no mount namespace for an /etc/hosts of its own: ${(error as Error).message.split('\n')[0]}`);
    }
    const dir = row.defer(await mkdtemp(join(tmpdir(), 'etcd-discovery-names-')), (path) =>
      rm(path, { recursive: true, force: true }),
    );
    const names = new NamesElsewhere(join(dir, 'hosts'), join(dir, 'resolv.conf'));
    await writeFile(names.resolver, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
    await names.set(false);
    return names;
  }

  /** Whether `HOST` is found from now on. */
  set(found: boolean): Promise<void> {
    return writeFile(this.hosts, `127.0.0.1 localhost${found ? ` ${HOST}` : ''}\n`);
  }

  start(file: string, args: readonly string[], env: NodeJS.ProcessEnv): TestProcess {
    const mounts = `mount --bind ${this.hosts} /etc/hosts && mount --bind ${this.resolver} /etc/resolv.conf`;
    const command = [process.execPath, '--enable-source-maps', file, ...args];
    return TestProcess.command(
      'unshare',
      ['--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh', ...command],
      env,
      true,
    );
  }
}
