import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { TestProcess, repositoryRoot } from './support/child-process.js';
import { RawEtcd } from './support/raw-etcd.js';

const run = promisify(execFile);
const library = join(repositoryRoot, 'libs', 'etcd-discovery');
const npm = (args: string[], cwd: string) => run('npm', args, { cwd, maxBuffer: 16 << 20 });

interface Manifest {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

let dir: string;
let files: string[];

/** A fresh application outside the repository, with the packed library and the Nest of this workspace's versions. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'etcd-discovery-consumer-'));
  const { stdout } = await npm(['pack', '--json', '--pack-destination', dir], library);
  const packed: unknown = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
  const [entry] = (Array.isArray(packed) ? packed : Object.values(packed as object)) as {
    filename: string;
    files: { path: string }[];
  }[];
  files = entry!.files.map(({ path }) => path);
  const { dependencies, devDependencies } = JSON.parse(
    await readFile(join(repositoryRoot, 'package.json'), 'utf8'),
  ) as Manifest;
  const pick = (names: string[]) =>
    Object.fromEntries(names.map((name) => [name, (dependencies[name] ?? devDependencies[name])!]));
  await writeFile(
    join(dir, 'package.json'),
    JSON.stringify({
      name: 'consumer',
      private: true,
      dependencies: {
        'nestjs-etcd-discovery': `file:./${entry!.filename}`,
        ...pick([
          '@grpc/grpc-js',
          '@grpc/proto-loader',
          '@nestjs/common',
          '@nestjs/core',
          '@nestjs/microservices',
          'reflect-metadata',
          'rxjs',
        ]),
      },
      devDependencies: pick(['typescript', '@types/node']),
    }),
  );
  await npm(['install', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'], dir);
}, 240_000);

afterAll(async () => {
  if (dir) await rm(dir, { recursive: true, force: true });
});

describe('the packed library', () => {
  it('holds what it promises and no test', () => {
    expect(files).toEqual(
      expect.arrayContaining(['dist/index.js', 'dist/index.d.ts', 'dist/testing/index.js', 'README.md', 'LICENSE']),
    );
    expect(files.filter((file) => file.includes('.spec.'))).toEqual([]);
  });

  it.each([
    ['ESM', 'module', 'real'],
    ['CommonJS', 'commonjs', 'real'],
    ['ESM', 'module', 'embedded'],
  ])('works in a fresh %s application (type: %s) on a %s etcd', async (_, type, kind) => {
    const app = join(dir, `${type}-${kind}`);
    await mkdir(app);
    await writeFile(join(app, 'package.json'), JSON.stringify({ name: type, private: true, type }));
    await writeFile(
      join(app, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          target: 'ES2022',
          strict: true,
          experimentalDecorators: true,
          emitDecoratorMetadata: true,
          outDir: 'dist',
          rootDir: '.',
          types: ['node'],
          skipLibCheck: true,
        },
        include: ['main.ts'],
      }),
    );
    await cp(join(repositoryRoot, 'test', 'fixtures', 'consumer', 'main.ts'), join(app, 'main.ts'));
    await cp(join(repositoryRoot, 'test', 'fixtures', 'echo.proto'), join(app, 'echo.proto'));
    await symlink(join(dir, 'node_modules'), join(app, 'node_modules'));
    await run(process.execPath, [join(dir, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], { cwd: app }).catch(
      (error: { stdout: string }) => {
        throw new Error(`tsc refused the application:\n${error.stdout}`);
      },
    );
    const namespace = `/consumer-${randomUUID()}`;
    const program = TestProcess.command(
      process.execPath,
      ['dist/main.js'],
      kind === 'real' ? { APP_ETCD: inject('etcdEndpoint'), APP_NAMESPACE: namespace } : {},
      false,
      app,
    );
    try {
      await program.printed(/consumer says hello/);
      await program.printed(/consumer closed/);
      expect((await program.exit()).code).toBe(0);
      // Nothing to complain of: neither two copies of grpc-js nor anything else.
      expect(program.output).not.toMatch(/WARN|ERROR/);
    } finally {
      await program.dispose();
    }
    const raw = new RawEtcd(inject('etcdEndpoint'));
    expect(await raw.keys(namespace)).toEqual([]);
    raw.close();
  });
});
