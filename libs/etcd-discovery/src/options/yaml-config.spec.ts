import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Test } from '@nestjs/testing';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { resolveOptions } from './resolve-options.js';
import { loadYamlConfig } from './yaml-config.js';

const YAML = `# a comment
notification-server:
  addr: "0.0.0.0:8080"
  name: "notification-server"
etcd:
  endpoints: ["localhost:2379"]
  dial-timeout: 5s
  username: ""
  password: ""
`;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'yaml-config-'));
  write('notification-server', YAML);
});
afterEach(() => {
  rmSync(directory, { recursive: true });
  vi.unstubAllEnvs();
});

const write = (name: string, text: string) => writeFileSync(path.join(directory, `${name}.yaml`), text);
const load = (name = 'notification-server', env: NodeJS.ProcessEnv = {}) => loadYamlConfig(name, { directory, env })();

/** As an application module passes it on. */
const resolve = (config: Record<string, unknown>) =>
  resolveOptions({ etcd: config.etcd, registration: config['notification-server'] }, {});

const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionsError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
};

describe('a configuration file', () => {
  it('is read as it is written, and makes options', () => {
    const config = load();
    expect(config).toEqual({
      'notification-server': { addr: '0.0.0.0:8080', name: 'notification-server' },
      etcd: { endpoints: ['localhost:2379'], 'dial-timeout': '5s', username: '', password: '' },
    });
    expect(resolve(config)).toMatchObject({
      etcd: { endpoints: ['localhost:2379'], dialTimeoutMs: 5000 },
      registrations: [{ name: 'notification-server', addr: '0.0.0.0:8080' }],
    });
  });

  it('is found in CONFIG_DIR', () => {
    expect(loadYamlConfig('notification-server', { env: { CONFIG_DIR: directory } })()).toHaveProperty('etcd');
  });

  it('may end in .yml, and may be empty', () => {
    writeFileSync(path.join(directory, 'empty.yml'), '# nothing\n');
    expect(load('empty')).toEqual({});
  });

  it('is read when Nest asks for it, not before', () => {
    const later = loadYamlConfig('later', { directory, env: {} });
    write('later', 'etcd: { endpoints: "a:1" }');
    expect(later()).toEqual({ etcd: { endpoints: 'a:1' } });
  });

  it('that is missing is named, with what is there and the remedy', () => {
    const message = messageOf(() => load('notifications'));
    expect(message).toContain(path.join(directory, 'notifications.yaml'));
    expect(message).toContain('there is "notification-server.yaml"');
    expect(message).toContain('CONFIG_DIR');
    expect(messageOf(() => loadYamlConfig('x', { directory: '/nowhere' })())).toContain('the directory does not exist');
  });
});

describe('mistakes in a configuration file', () => {
  it('are reported with file, line, path, given and expected, all of them', () => {
    write(
      'notification-server',
      YAML.replace('0.0.0.0:8080', 'anywhere').replace('5s', '5').replace('"localhost:2379"', '"localhost"') +
        '  usrname: x\n',
    );
    const file = path.join(directory, 'notification-server.yaml');
    const message = messageOf(() => resolve(load()));
    expect(message).toContain('4 mistakes');
    expect(message).toMatch(/registration\.addr: got "anywhere"; expected 'host:port'/);
    expect(message).toContain(`(notification-server.addr in ${file}:3)`);
    expect(message).toMatch(/etcd\.dial-timeout: got 5; expected a unit/);
    expect(message).toContain(`(etcd.dial-timeout in ${file}:7)`);
    expect(message).toContain(`(etcd.endpoints in ${file}:6)`);
    expect(message).toContain('etcd.usrname: unknown option; did you mean "username"?');
    expect(message).toContain(`(etcd.usrname in ${file}:10)`);
  });

  it('are found in nested maps and lists, and in a part that is passed on as a copy', () => {
    write(
      'notification-server',
      'etcd:\n  endpoints: a:1\n  tls:\n    key: k\nservers:\n  - name: a\n  - name: b\n    metadata:\n      x: 1\n',
    );
    const config = load();
    const message = messageOf(() =>
      resolveOptions({ etcd: { ...(config.etcd as object) }, registration: config.servers }, {}),
    );
    expect(message).toMatch(/etcd\.tls\.cert: is missing; 'key' needs it \(etcd\.tls\.cert in .*\.yaml\)/);
    expect(message).toMatch(/registration\[1\]\.metadata\.x: got 1; .* \(servers\.1\.metadata\.x in .*\.yaml:9\)/);
  });

  it('of YAML itself have line and column, all of them', () => {
    write('notification-server', 'etcd:\n  endpoints: a:1\n  endpoints: b:1\nx: "unclosed\n');
    const message = messageOf(() => load());
    expect(message).toContain('is not valid YAML');
    expect(message).toMatch(/notification-server\.yaml:3:3: Map keys must be unique/);
    expect(message.split('\n').length).toBeGreaterThan(2);
  });

  it.each([
    ['a list', '- a\n- b\n', 'expected a map at the top level'],
    ['a text', 'hello\n', 'expected a map at the top level'],
    ['two documents', 'a: 1\n---\nb: 1\n', 'a second document'],
    ['an unknown tag', 'etcd: !!js/function x\n', 'Unresolved tag'],
    ['tabs', 'etcd:\n\tendpoints: x\n', ':2:1'],
  ])('may be %s', (_what, text, expected) => {
    write('notification-server', text);
    expect(messageOf(() => load())).toContain(expected);
  });

  it('cannot exhaust memory through aliases', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${`*l${i},`.repeat(9)}*l${i}]`);
    write('notification-server', ['l0: &l0 [x,x,x,x,x,x,x,x,x,x]', ...levels].join('\n'));
    expect(() => load()).toThrow(/alias/i);
  });
});

describe('the environment and a configuration file', () => {
  it('overrides etcd and the address and name of the application', () => {
    const config = load('notification-server', {
      ETCD_ENDPOINTS: 'a:1,b:2',
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: 'hunter2',
      NOTIFICATION_SERVER_ADDR: '127.0.0.1:0',
      NOTIFICATION_SERVER_NAME: 'notifications',
    });
    expect(resolve(config)).toMatchObject({
      etcd: { endpoints: ['a:1', 'b:2'], username: 'root', password: 'hunter2' },
      registrations: [{ name: 'notifications', addr: '127.0.0.1:0' }],
    });
  });

  it('makes the section of etcd where the file has none', () => {
    write('bare', 'x: 1\n');
    expect(load('bare', { ETCD_ENDPOINTS: 'a:1' })).toEqual({ x: 1, etcd: { endpoints: 'a:1' } });
  });

  it('leaves sections alone that register nothing, and counts as unset when empty', () => {
    write('demo', 'demo-client:\n  rps: 10\nusers.v2:\n  name: u\n');
    const env = { DEMO_CLIENT_NAME: 'x', DEMO_CLIENT_ADDR: 'x', USERS_V2_ADDR: 'a:1', USERS_V2_NAME: '' };
    expect(load('demo', env)).toEqual({ 'demo-client': { rps: 10 }, 'users.v2': { name: 'u', addr: 'a:1' } });
  });

  it('is named in mistakes in place of the line', () => {
    const config = load('notification-server', { NOTIFICATION_SERVER_ADDR: 'x', ETCD_ENDPOINTS: 'y' });
    const message = messageOf(() => resolve(config));
    expect(message).toContain('(from the environment variable NOTIFICATION_SERVER_ADDR)');
    expect(message).toContain('(from the environment variable ETCD_ENDPOINTS)');
  });

  it('never shows the password of the environment', () => {
    const config = load('notification-server', { ETCD_PASSWORD: 'hunter2-canary' });
    const message = messageOf(() => resolve(config));
    expect(message).toContain('etcd.username: is missing');
    expect(message).not.toContain('hunter2-canary');
  });
});

describe('the file of the application that was started', () => {
  const started = process.argv[1];
  afterEach(() => {
    process.argv[1] = started ?? '';
  });
  const inConfigDir = () => vi.stubEnv('CONFIG_DIR', directory);

  it('is found by its directory', () => {
    inConfigDir();
    write('demo-client', 'etcd: { endpoints: "b:1" }');
    process.argv[1] = '/srv/dist/apps/demo-client/src/main.js';
    expect(loadYamlConfig()).toEqual({
      etcd: expect.objectContaining({ endpoints: expect.anything() as unknown }) as unknown,
    });
  });

  it('is the only one where there is one', () => {
    inConfigDir();
    process.argv[1] = '/srv/main.js';
    expect(loadYamlConfig()).toHaveProperty('notification-server');
  });

  it('is not guessed', () => {
    inConfigDir();
    write('other', 'a: 1');
    process.argv[1] = '/srv/main.js';
    expect(() => loadYamlConfig()).toThrow(/for \/srv\/main\.js: there is .*loadYamlConfig\('my-application'\)/);
  });
});

describe('through @nestjs/config', () => {
  it.each([
    ['by name', () => loadYamlConfig('notification-server', { directory, env: {} })],
    ['by the application', () => loadYamlConfig],
  ])('the origin survives: %s', async (_how, factory) => {
    vi.stubEnv('CONFIG_DIR', directory);
    mkdirSync(path.join(directory, 'sub'));
    write('notification-server', YAML.replace('0.0.0.0:8080', 'anywhere'));
    const module = await Test.createTestingModule({
      imports: [ConfigModule.forRoot({ ignoreEnvFile: true, load: [factory()] })],
    }).compile();
    const config = module.get(ConfigService);
    const message = messageOf(() =>
      resolveOptions(
        { etcd: config.getOrThrow<unknown>('etcd'), registration: config.getOrThrow<unknown>('notification-server') },
        {},
      ),
    );
    expect(message).toMatch(/registration\.addr: .*notification-server\.addr in .*notification-server\.yaml:3/);
    await module.close();
  });
});

describe('the files of the example applications', () => {
  const examples = path.resolve(import.meta.dirname, '../../../../config');
  const read = (name: string) => loadYamlConfig(name, { directory: examples, env: {} })();

  it('register the server', () => {
    const config = read('notification-server');
    expect(resolve(config)).toEqual(
      resolveOptions(
        { etcd: { endpoints: 'localhost:2379' }, registration: { name: 'notification-server', addr: '0.0.0.0:8080' } },
        {},
      ),
    );
  });

  it('show the client the defaults it says it shows', () => {
    const config = read('demo-client');
    expect(resolveOptions({ etcd: config.etcd, client: config.client }, {})).toEqual(
      resolveOptions({ etcd: { endpoints: 'localhost:2379' } }, {}),
    );
  });

  it('are right in the settings that are commented out, too', () => {
    for (const name of ['notification-server', 'demo-client']) {
      const text = readFileSync(path.join(examples, `${name}.yaml`), 'utf8').replace(
        /^( *)# ( *[a-z-]+:( |$))/gm,
        '$1$2',
      );
      write(name, text);
      const { etcd, client, 'notification-server': registration } = load(name);
      expect(() => resolveOptions({ etcd, client, registration }, {})).not.toThrow();
    }
    expect(load('notification-server')).toMatchObject({
      etcd: { tls: { 'server-name': expect.any(String) as string } },
    });
  });
});
