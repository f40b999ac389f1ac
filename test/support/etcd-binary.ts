import { execFile } from 'node:child_process';
import { access, constants, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface EtcdBinaries {
  readonly etcd: string;
  /** Absent where only the server was found. */
  readonly etcdctl?: string;
  /** Where the server came from, for one line of output. */
  readonly source: string;
}

/** The two ways out, for whoever has neither etcd nor Debian's packages. */
export const HOW_TO_PROVIDE_ETCD =
  'Provide a real etcd in one of two ways: set ETCD_BIN to the path of an etcd binary (or put it on PATH), ' +
  'or set ETCD_ENDPOINTS to the host:port of a running etcd that the tests may write to.';

const executable = (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );

const onPath = async (name: string): Promise<string | undefined> => {
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    if (dir && (await executable(join(dir, name)))) return join(dir, name);
  }
  return undefined;
};

const etcdctlBeside = async (etcd: string): Promise<string | undefined> => {
  const beside = join(dirname(etcd), 'etcdctl');
  return (await executable(beside)) ? beside : onPath('etcdctl');
};

/** Debian's packages, downloaded and unpacked without installing them: no root, no service, nothing on port 2379. */
const unpackDebianPackages = async (target: string): Promise<void> => {
  const staging = `${target}.${process.pid}`;
  await mkdir(join(staging, 'lists', 'partial'), { recursive: true });
  // A package list of our own: the system's may be missing, and updating it needs root.
  const apt = ['-o', `Dir::State::lists=${join(staging, 'lists')}`, '-o', 'APT::Sandbox::User=root', '-q'];
  await run('apt-get', [...apt, 'update'], { cwd: staging });
  await run('apt-get', [...apt, 'download', 'etcd-server', 'etcd-client'], { cwd: staging });
  const packages = (await readdir(staging)).filter((file) => file.endsWith('.deb'));
  for (const file of packages) await run('dpkg-deb', ['-x', file, '.'], { cwd: staging });
  await rm(join(staging, 'lists'), { recursive: true });
  await mkdir(dirname(target), { recursive: true });
  await rename(staging, target).catch(async (error: NodeJS.ErrnoException) => {
    // Another run was faster: use what it left.
    await rm(staging, { recursive: true, force: true });
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
};

const cacheDir = (): string => join(tmpdir(), `etcd-discovery-debian-${process.getuid?.() ?? 0}`);

/**
 * Finds an etcd server: ETCD_BIN, PATH, else Debian's package, unpacked once into a temporary directory.
 *
 * @throws Error that names the two ways to provide one.
 */
export const findEtcd = async (): Promise<EtcdBinaries> => {
  const given = process.env.ETCD_BIN;
  if (given) {
    if (!(await executable(given))) {
      throw new Error(`ETCD_BIN is ${JSON.stringify(given)}, which is not an executable file. ${HOW_TO_PROVIDE_ETCD}`);
    }
    return { etcd: given, etcdctl: await etcdctlBeside(given), source: 'ETCD_BIN' };
  }
  const installed = await onPath('etcd');
  if (installed) return { etcd: installed, etcdctl: await etcdctlBeside(installed), source: 'PATH' };

  const dir = cacheDir();
  const etcd = join(dir, 'usr', 'bin', 'etcd');
  if (!(await executable(etcd))) {
    await unpackDebianPackages(dir).catch((error: Error) => {
      throw new Error(
        `No etcd on this machine, and Debian's package could not be unpacked (${error.message.split('\n')[0]}). ${HOW_TO_PROVIDE_ETCD}`,
        { cause: error },
      );
    });
  }
  return { etcd, etcdctl: await etcdctlBeside(etcd), source: "Debian's etcd-server package" };
};
