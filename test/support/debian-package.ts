import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Downloads and unpacks without installing: no root, no service, no file outside `target`. */
const unpack = async (target: string, packages: readonly string[]): Promise<void> => {
  const staging = `${target}.${process.pid}`;
  await mkdir(join(staging, 'lists', 'partial'), { recursive: true });
  // A package list of our own: the system's may be missing, and updating it needs root.
  const apt = ['-o', `Dir::State::lists=${join(staging, 'lists')}`, '-o', 'APT::Sandbox::User=root', '-q'];
  await run('apt-get', [...apt, 'update'], { cwd: staging });
  await run('apt-get', [...apt, 'download', ...packages], { cwd: staging });
  const files = (await readdir(staging)).filter((file) => file.endsWith('.deb'));
  for (const file of files) await run('dpkg-deb', ['-x', file, '.'], { cwd: staging });
  await rm(join(staging, 'lists'), { recursive: true });
  await mkdir(dirname(target), { recursive: true });
  await rename(staging, target).catch(async (error: NodeJS.ErrnoException) => {
    // Another run was faster: use what it left.
    await rm(staging, { recursive: true, force: true });
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
};

/**
 * The directory that Debian's `packages` are unpacked in, once per user and machine, below the temporary directory.
 *
 * @param name of that directory
 * @param wanted a file of the packages, relative to their root; where it is there already, nothing is downloaded
 * @throws Error when there is no apt, no network, or no such package.
 */
export const unpackDebianPackages = async (
  name: string,
  packages: readonly string[],
  wanted: string,
): Promise<string> => {
  const dir = join(tmpdir(), `${name}-${process.getuid?.() ?? 0}`);
  const there = await access(join(dir, wanted)).then(
    () => true,
    () => false,
  );
  if (!there) await unpack(dir, packages);
  return dir;
};
