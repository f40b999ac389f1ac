import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unpackDebianPackages } from './debian-package.js';

const PACKAGE = 'libfaketime';
const ROOT = join('usr', 'lib');

/** The library of Debian's package, wherever its architecture puts it. */
const findLibrary = async (): Promise<string> => {
  const dir = await unpackDebianPackages('etcd-discovery-faketime', [PACKAGE], ROOT);
  const found = (await readdir(join(dir, ROOT), { recursive: true })).find((file) => file.endsWith('libfaketime.so.1'));
  if (found === undefined) throw new Error(`${PACKAGE} has no libfaketime.so.1`);
  return join(dir, ROOT, found);
};

/**
 * The clocks of processes, moved while they run (libfaketime). Neither etcd nor any other Go program is moved by it:
 * they ask the kernel.
 */
export class FakeTime {
  private constructor(
    private readonly dir: string,
    private readonly library: string,
    private readonly monotonicToo: boolean,
  ) {}

  /**
   * @param options.monotonicToo every clock jumps, as after a suspension, not the wall clock alone
   * @throws Error when there is no libfaketime and Debian's package cannot be had.
   */
  static async create({ monotonicToo }: { readonly monotonicToo: boolean }): Promise<FakeTime> {
    const library = await findLibrary();
    const time = new FakeTime(await mkdtemp(join(tmpdir(), 'etcd-discovery-time-')), library, monotonicToo);
    await time.shift(0);
    return time;
  }

  /** For the processes whose clocks these are. */
  get env(): NodeJS.ProcessEnv {
    return {
      LD_PRELOAD: this.library,
      FAKETIME_TIMESTAMP_FILE: this.file,
      // Looked at with every question for the time.
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: this.monotonicToo ? '0' : '1',
    };
  }

  private get file(): string {
    return join(this.dir, 'offset');
  }

  /** From now on the clocks are `seconds` off, negative for the past. */
  async shift(seconds: number): Promise<void> {
    // In one step: half a file is no time at all.
    await writeFile(`${this.file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`);
    await rename(`${this.file}.new`, this.file);
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
