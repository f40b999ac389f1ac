import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_SNAPSHOT_BYTES, readSnapshot, removeAbandoned, UnusableSnapshot, writeSnapshot } from './snapshot-file.js';

let directory: string;
let path: string;

const sealed = (text: string): string => `${text}sha256 ${createHash('sha256').update(text).digest('hex')}\n`;

const refusal = async (): Promise<string> => {
  const error: unknown = await readSnapshot(path).catch((thrown: unknown) => thrown);
  if (!(error instanceof UnusableSnapshot)) throw new Error('it was read, or failed otherwise', { cause: error });
  return `${error.message}${error.replaceable ? '' : ' (stays)'}`;
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'snapshot-file-'));
  path = join(directory, 'snapshot');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describe('a snapshot that was written', () => {
  it('is read back as it was, and lies alone in its directory', async () => {
    await writeSnapshot(path, ['a\n', 'ü€\n']);
    expect((await readSnapshot(path))?.content.toString()).toBe('a\nü€\n');
    await writeSnapshot(path, ['b\n']);
    expect((await readSnapshot(path))?.content.toString()).toBe('b\n');
    expect(readdirSync(directory)).toEqual(['snapshot']);
  });

  it('is for its owner alone, whatever the umask and the mode of the file before it', async () => {
    const before = process.umask(0);
    try {
      writeFileSync(path, '', { mode: 0o666 });
      await writeSnapshot(path, ['a\n']);
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('makes its directory, for its owner alone', async () => {
    path = join(directory, 'not', 'there', 'snapshot');
    await writeSnapshot(path, ['a\n']);
    expect((await readSnapshot(path))?.content.toString()).toBe('a\n');
    expect(statSync(join(directory, 'not')).mode & 0o777).toBe(0o700);
  });

  it('is one of both when two write at a time', async () => {
    const long = Array.from({ length: 50 }, () => 'x'.repeat(10_000));
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([writeSnapshot(path, [...long, 'a\n']), writeSnapshot(path, [...long, 'b\n'])]);
      expect((await readSnapshot(path))?.content.toString().slice(-2)).toMatch(/^[ab]\n$/);
    }
    expect(readdirSync(directory)).toEqual(['snapshot']);
  });
});

describe('a write that fails', () => {
  it('leaves the file as it was and nothing beside it', async () => {
    await writeSnapshot(path, ['a\n']);
    const pieces = function* () {
      yield 'b\n';
      throw new Error('no more');
    };
    await expect(writeSnapshot(path, pieces())).rejects.toThrow('no more');
    expect((await readSnapshot(path))?.content.toString()).toBe('a\n');
    expect(readdirSync(directory)).toEqual(['snapshot']);
  });

  it('is one that would be larger than what is read', async () => {
    const pieces = function* () {
      const piece = 'x'.repeat(1024 * 1024);
      for (let n = 0; n <= MAX_SNAPSHOT_BYTES / piece.length; n += 1) yield piece;
    };
    await expect(writeSnapshot(path, pieces())).rejects.toThrow('would be larger than 67108864 bytes');
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('a file that cannot be used', () => {
  it('no file is no error', async () => {
    await expect(readSnapshot(path)).resolves.toBeUndefined();
  });

  it('cut anywhere, or with any byte changed, it is refused and may be replaced', async () => {
    await writeSnapshot(path, ['{"a":1}\n', '{"b":2}\n']);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      expect(await refusal(), `${length} bytes`).toMatch(/truncated/);
    }
    for (let at = 'nestjs-etcd-discovery snapshot 1'.length; at < whole.length; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] = changed[at]! ^ 1;
      writeFileSync(path, changed);
      expect(await refusal(), `byte ${at}`).toMatch(/checksum|another version/);
    }
  });

  it('of another format, it says so', async () => {
    writeFileSync(path, sealed('nestjs-etcd-discovery snapshot 2\n{}\n'));
    expect(await refusal()).toBe('another version of this library wrote it, in another format');
  });

  it('that is something else stays as it is: the path was a mistake', async () => {
    writeFileSync(path, 'etcd:\n  endpoints: ["localhost:2379"]\n');
    expect(await refusal()).toBe('it is something else than a snapshot, and is left as it is (stays)');
  });

  it('a directory, a link and a pipe without a writer are refused at once', async () => {
    mkdirSync(path);
    expect(await refusal()).toBe('it is not a regular file (stays)');
    rmSync(path, { recursive: true });
    await writeSnapshot(join(directory, 'real'), ['a\n']);
    symlinkSync(join(directory, 'real'), path);
    expect(await refusal()).toBe('it is a symbolic link (stays)');
    rmSync(path);
    execFileSync('mkfifo', [path]);
    expect(await refusal()).toBe('it is not a regular file (stays)');
  });

  it('that everybody may write to is refused; access of others is a warning', async () => {
    await writeSnapshot(path, ['a\n']);
    expect((await readSnapshot(path))?.warning).toBeUndefined();
    chmodSync(path, 0o660);
    expect((await readSnapshot(path))?.warning).toBe(
      'others than its owner have access to it (mode 660); it is written with mode 600',
    );
    chmodSync(path, 0o602);
    expect(await refusal()).toBe('everybody on this machine may write to it');
  });
});

describe('temporary files', () => {
  it('of writers that died are removed after a minute; others are not touched', async () => {
    const old = new Date(Date.now() - 61_000);
    const [dead, young, foreign] = ['snapshot.1.0123456789ab.tmp', 'snapshot.1.0123456789ac.tmp', 'snapshot.1.tmp'];
    for (const name of [dead, young, foreign]) writeFileSync(join(directory, name!), '');
    for (const name of [dead, foreign]) utimesSync(join(directory, name!), old, old);
    await removeAbandoned(path);
    expect(readdirSync(directory).sort()).toEqual([young, foreign].sort());
    await removeAbandoned(join(directory, 'not', 'there', 'snapshot'));
    expect(existsSync(join(directory, 'not'))).toBe(false);
  });
});
