import { access, constants } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { unpackDebianPackages } from './debian-package.js';

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

  const binary = join('usr', 'bin', 'etcd');
  const dir = await unpackDebianPackages('etcd-discovery-debian', ['etcd-server', 'etcd-client'], binary).catch(
    (error: Error) => {
      throw new Error(
        `No etcd on this machine, and Debian's package could not be unpacked (${error.message.split('\n')[0]}). ${HOW_TO_PROVIDE_ETCD}`,
        { cause: error },
      );
    },
  );
  const etcd = join(dir, binary);
  return { etcd, etcdctl: await etcdctlBeside(etcd), source: "Debian's etcd-server package" };
};
