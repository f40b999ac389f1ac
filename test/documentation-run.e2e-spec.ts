import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { DiscoveryService, EtcdDiscoveryModule } from 'nestjs-etcd-discovery';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestProcess, eventually, repositoryRoot } from './support/child-process.js';
import { findEtcd } from './support/etcd-binary.js';
import { EtcdServer } from './support/etcd-server.js';
import { inlineCode, parsePage } from './support/markdown.js';
import { RawEtcd } from './support/raw-etcd.js';
import { transpile } from './support/type-check.js';

const page = (file: string) => parsePage(readFileSync(join(repositoryRoot, file), 'utf8'));
const library = pathToFileURL(join(repositoryRoot, 'dist/libs/etcd-discovery/src/index.js')).href;

let etcd: EtcdServer;
const processes: TestProcess[] = [];

beforeAll(async () => {
  etcd = await EtcdServer.start();
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.dispose()));
});
afterAll(() => etcd.stop());

/** Starts a snippet as it stands, but for where etcd is and which port is free; in the folder of `greeter.proto`. */
const start = (name: string, code: string): TestProcess => {
  const directory = join(repositoryRoot, 'dist', 'documentation');
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${name}.js`);
  const adapted = transpile(code)
    .replaceAll(`'nestjs-etcd-discovery'`, `'${library}'`)
    .replaceAll('localhost:2379', etcd.endpoint)
    .replaceAll('0.0.0.0:50051', '0.0.0.0:0');
  writeFileSync(file, adapted);
  const process_ = TestProcess.command(process.execPath, [file], {}, false, join(repositoryRoot, 'examples'));
  processes.push(process_);
  return process_;
};

describe('the server, the client and the stock client of the README', () => {
  const [server, client, stock] = page('README.md')
    .blocks.filter(({ language }) => language === 'ts')
    .map(({ code }) => code) as [string, string, string];
  const callThroughStockClient = `
    import { NestFactory } from '@nestjs/core';
    import { firstValueFrom } from 'rxjs';
    const app = await NestFactory.createApplicationContext(StockClientModule);
    const greeter = app.get('GREETER').getService('Greeter');
    console.log((await firstValueFrom(greeter.sayHello({ name: 'Ada' }))).text);
    await app.close();`;

  it('find and call each other, and leave nothing in etcd', async () => {
    const raw = new RawEtcd(etcd.endpoint);
    try {
      const serving = start('server', server);
      const [key] = await eventually(
        'the server is in etcd',
        async () => {
          const keys = await raw.keys('/services/greeter/');
          return keys.length > 0 && keys;
        },
        20_000,
        () => serving.output,
      );
      expect(await raw.grantedTtl(key!.lease)).toBe(10);
      for (const [name, code] of [
        ['client', client],
        ['stock-client', stock + callThroughStockClient],
      ] as const) {
        const calling = start(name, code);
        await calling.printed(/Hello, Ada!/);
        expect((await calling.exit()).code, calling.output).toBe(0);
      }
      serving.signal('SIGTERM');
      await serving.exit();
      expect(await raw.keys('/services/')).toEqual([]);
      expect(await raw.leases()).toEqual([]);
    } finally {
      raw.close();
    }
  });
});

describe('the etcdctl commands of the documentation', () => {
  const shell = page('docs/service-registration.md')
    .blocks.filter(({ language, code }) => language === 'bash' && code.startsWith('etcdctl '))
    .map(({ code }) => code.split('\n'));
  const inline = ['README.md', 'libs/etcd-discovery/README.md', 'docs/service-registration.md'].flatMap((file) =>
    inlineCode(page(file).prose).filter((code) => /^etcdctl \S+ \S+/.test(code)),
  );
  const isAccessControl = (lines: readonly string[]) => lines.includes('etcdctl auth enable');
  const KEY = '/services/orders/node-1';

  const run = async (server: EtcdServer, line: string, env: NodeJS.ProcessEnv = {}): Promise<string> => {
    const { etcdctl } = await findEtcd();
    const bounded = line.includes(' watch ') ? `timeout 1 ${line}; [ $? = 124 ]` : line;
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', bounded], {
      env: {
        ...process.env,
        PATH: [dirname(etcdctl!), process.env.PATH].join(delimiter),
        ETCDCTL_API: '3',
        ETCDCTL_ENDPOINTS: server.endpoint,
        ...env,
      },
    });
    return stdout + stderr;
  };

  /** A key under a lease, as a registration has it. */
  const register = async (): Promise<string> => {
    const lease = /lease (\w+) granted/.exec(await etcd.etcdctl('lease', 'grant', '60'))![1]!;
    await etcd.etcdctl('put', KEY, '10.0.0.7:50051', `--lease=${lease}`);
    return lease;
  };

  /** What each has to show, beyond ending well. */
  const shows: readonly [RegExp, (lease: string) => string][] = [
    [/get \/services\/ .*--keys-only/, () => KEY],
    [/get \/services\/orders\/ .*--print-value-only/, () => '10.0.0.7:50051'],
    [/lease list/, (lease) => lease],
    [/lease timetolive/, () => KEY],
    [/endpoint health/, () => 'is healthy'],
    [/ del \$KEY/, () => '1'],
    [/lease revoke/, () => 'revoked'],
  ];

  it('do what the text says', async () => {
    const lines = [
      ...shell.filter((block) => !isAccessControl(block)).flat(),
      ...inline.filter((line) => !/--user/.test(line)),
    ];
    expect(lines.length).toBeGreaterThan(12);
    const seen = new Set<RegExp>();
    for (const line of lines) {
      const lease = await register();
      const output = await run(etcd, line, { LEASE: lease, KEY });
      for (const [pattern, expected] of shows) {
        if (!pattern.test(line)) continue;
        seen.add(pattern);
        expect(output, line).toContain(expected(lease));
      }
    }
    expect(seen.size).toBe(shows.length);
  });

  it('set up access control, and the role can register but not more', async () => {
    const guarded = await EtcdServer.start();
    try {
      const [block] = shell.filter(isAccessControl);
      for (const line of block!) await run(guarded, line);
      const as = (line: string) => run(guarded, line.replace('NAME:PASSWORD', 'discovery:secret'));
      const [withUser] = inline.filter((line) => /--user NAME:PASSWORD/.test(line));
      await as(withUser!);
      await as('etcdctl --user NAME:PASSWORD put /services/orders/node-1 10.0.0.7:50051');
      expect(await as(withUser!)).toContain(KEY);
      await expect(as('etcdctl --user NAME:PASSWORD put /elsewhere x')).rejects.toThrow(/permission denied/);
      await expect(run(guarded, 'etcdctl get /services/ --prefix')).rejects.toThrow(/user name is empty/);
      const module = await Test.createTestingModule({
        imports: [
          EtcdDiscoveryModule.forRoot({
            etcd: { endpoints: guarded.endpoint, username: 'discovery', password: 'secret' },
            registration: { name: 'web', transport: 'tcp' },
            shutdown: { propagationWait: 0 },
          }),
        ],
      }).compile();
      const app = module.createNestMicroservice<MicroserviceOptions>({
        transport: Transport.TCP,
        options: { host: '127.0.0.1', port: 0 },
      });
      await app.listen();
      expect(await as(withUser!)).toMatch(/^\/services\/web\/.+$/m);
      expect(Object.keys(await app.get(DiscoveryService).getAllServices()).toSorted()).toEqual(['orders', 'web']);
      await app.close();
      expect(await as(withUser!)).not.toContain('/services/web/');
    } finally {
      await guarded.stop();
    }
  });
});
