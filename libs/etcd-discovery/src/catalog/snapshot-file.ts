import { createHash, type Hash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** More than 100,000 instances of usual size; a file beyond it is neither read nor written. */
export const MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024;

const WHAT = 'nestjs-etcd-discovery snapshot ';
const FIRST_LINE = `${WHAT}1\n`;
/** `sha256 ` and 64 hexadecimal digits, over everything before it. */
const lastLine = (hash: Hash): string => `sha256 ${hash.digest('hex')}\n`;
const LAST_LINE_BYTES = 'sha256 '.length + 64 + 1;
const PIECE_BYTES = 256 * 1024;
/** A write takes less; whoever died in one leaves a temporary file behind. */
const ABANDONED_MS = 60_000;

// Absent on Windows, where neither links nor modes are what they are elsewhere.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;

/** A file that is there and cannot be used; the message is the reason, without the name of the file. */
export class UnusableSnapshot extends Error {
  constructor(
    reason: string,
    /** It is a snapshot, be it a spoilt one: a better one may take its place. */
    readonly replaceable: boolean,
  ) {
    super(reason);
  }
}

export interface SnapshotText {
  /** The lines between the first and the checksum. */
  readonly content: Buffer;
  /** Something that an administrator should change, though the file was read. */
  readonly warning?: string;
}

/**
 * Replaces the file as a whole, or not at all: whenever the process or the machine dies, the file is the old one or the
 * new one. It is readable by its owner alone. The directory is made if there is none.
 */
export const writeSnapshot = async (path: string, pieces: Iterable<string>): Promise<void> => {
  // A name that nobody else has, in this process or another: two writers never share a file before it is complete.
  const temporary = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`;
  const handle = await openNew(temporary);
  try {
    try {
      await writeAll(handle, pieces);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(path));
};

const openNew = async (path: string): Promise<FileHandle> => {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | O_NOFOLLOW;
  try {
    return await open(path, flags, 0o600);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return open(path, flags, 0o600);
  }
};

const writeAll = async (handle: FileHandle, pieces: Iterable<string>): Promise<void> => {
  const hash = createHash('sha256');
  let size = LAST_LINE_BYTES;
  const write = async (text: string): Promise<void> => {
    const piece = Buffer.from(text);
    size += piece.length;
    if (size > MAX_SNAPSHOT_BYTES) throw new Error(`the snapshot would be larger than ${MAX_SNAPSHOT_BYTES} bytes`);
    hash.update(piece);
    await handle.appendFile(piece);
  };
  await write(FIRST_LINE);
  for (const piece of pieces) await write(piece);
  await handle.appendFile(lastLine(hash));
};

/** Without it a power cut could undo the rename; where directories cannot be synced, the system orders that itself. */
const syncDirectory = async (path: string): Promise<void> => {
  const handle = await open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
};

/**
 * Undefined when there is no file.
 *
 * @throws UnusableSnapshot for anything but a whole snapshot that only its owner, who is this process's user or root,
 * or a group that its owner chose could have written; what the file system says, for one that cannot be read.
 */
export const readSnapshot = async (path: string): Promise<SnapshotText | undefined> => {
  const handle = await openExisting(path);
  if (!handle) return undefined;
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new UnusableSnapshot('it is not a regular file', false);
    const hash = createHash('sha256');
    const bytes = await readAll(handle, stats.size, hash);
    const written = bytes.subarray(bytes.length - LAST_LINE_BYTES).toString('latin1');
    if (written !== lastLine(hash)) {
      throw new UnusableSnapshot('its checksum does not match: it is truncated or was changed', true);
    }
    return {
      content: bytes.subarray(FIRST_LINE.length, bytes.length - LAST_LINE_BYTES),
      warning: accessOf(stats),
    };
  } finally {
    await handle.close();
  }
};

const openExisting = async (path: string): Promise<FileHandle | undefined> => {
  try {
    // Not blocking: a pipe without a writer would be waited for.
    return await open(path, constants.O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === 'ELOOP') throw new UnusableSnapshot('it is a symbolic link', false);
    throw error;
  }
};

const readAll = async (handle: FileHandle, size: number, hash: Hash): Promise<Buffer> => {
  const head = Buffer.alloc(FIRST_LINE.length);
  const { bytesRead } = await handle.read(head, 0, head.length, 0);
  const first = head.toString('latin1', 0, bytesRead);
  if (!first.startsWith(WHAT) && !WHAT.startsWith(first)) {
    throw new UnusableSnapshot('it is something else than a snapshot, and is left as it is', false);
  }
  if (first.startsWith(WHAT) && bytesRead === head.length && first !== FIRST_LINE) {
    throw new UnusableSnapshot('another version of this library wrote it, in another format', true);
  }
  if (size > MAX_SNAPSHOT_BYTES) throw new UnusableSnapshot(`it has ${size} bytes`, true);
  if (size < FIRST_LINE.length + LAST_LINE_BYTES) throw new UnusableSnapshot('it is truncated', true);
  const problem = ownershipProblem(await handle.stat());
  if (problem !== undefined) throw new UnusableSnapshot(problem, true);
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size;) {
    const { bytesRead: more } = await handle.read(bytes, at, Math.min(PIECE_BYTES, size - at), at);
    if (more === 0) throw new UnusableSnapshot('it is truncated', true);
    hash.update(bytes.subarray(at, Math.min(at + more, size - LAST_LINE_BYTES)));
    at += more;
  }
  return bytes;
};

const ownershipProblem = ({ uid, mode }: Stats): string | undefined => {
  const own = process.getuid?.();
  if (own === undefined) return undefined;
  if (uid !== own && uid !== 0) return `it belongs to user ${uid}, this process runs as ${own}`;
  return mode & 0o002 ? 'everybody on this machine may write to it' : undefined;
};

/** A group is let be: Kubernetes opens a volume's files to the group of the pod (`fsGroup`). */
const accessOf = ({ mode }: Stats): string | undefined =>
  process.getuid && mode & 0o077
    ? `others than its owner have access to it (mode ${(mode & 0o777).toString(8)}); it is written with mode 600`
    : undefined;

/** Removes what writers that died have left beside the file. */
export const removeAbandoned = async (path: string): Promise<void> => {
  const directory = dirname(path);
  const prefix = `${basename(path)}.`;
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(prefix) || !/^\d+\.[0-9a-f]{12}\.tmp$/.test(name.slice(prefix.length))) continue;
    const temporary = join(directory, name);
    const stats = await lstat(temporary).catch(() => undefined);
    if (stats?.isFile() && Date.now() - stats.mtimeMs > ABANDONED_MS) await unlink(temporary).catch(() => undefined);
  }
};

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;
