import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * An etcd server on this machine: `ETCD_BIN`, else `etcd` on `PATH`.
 *
 * @returns its path, or undefined where there is none
 * @throws when ETCD_BIN is set and is not an executable file
 */
export function findEtcdBinary(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const given = env['ETCD_BIN'];
  if (given) {
    if (isExecutable(given)) return given;
    throw new Error(`ETCD_BIN is "${given}", which is not an executable file`);
  }
  const directories = (env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  return directories.map((directory) => join(directory, 'etcd')).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
