import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { quote } from '../instance/text.js';
import { applyEnvironment } from './config-environment.js';
import { parseConfig } from './yaml-document.js';

export interface YamlConfigOptions {
  /** Where the files are. Default: the environment variable `CONFIG_DIR`, else `config` in the working directory. */
  directory?: string;
  /** Default `process.env`. */
  env?: NodeJS.ProcessEnv;
}

/** The content of a configuration file, as `ConfigModule.forRoot({ load: [...] })` takes it. */
export type ConfigFile = Record<string, unknown>;

/**
 * Reads `config/<name>.yaml` for `@nestjs/config`:
 *
 * ```ts
 * ConfigModule.forRoot({ isGlobal: true, load: [loadYamlConfig('notification-server')] })
 * ConfigModule.forRoot({ isGlobal: true, load: [loadYamlConfig] }) // the name is found out, see below
 * ```
 *
 * With a name it returns the function that reads the file when Nest asks for it. Without one (the second form) it reads
 * at once: the file named after the application, that is, after the innermost directory of the started script for which
 * there is a file (`dist/apps/notification-server/src/main.js` → `notification-server.yaml`), else the only file there is.
 *
 * The environment overrides the file: `ETCD_ENDPOINTS`, `ETCD_USERNAME`, `ETCD_PASSWORD`, and for every section with an
 * `addr` or a `name` `<SECTION>_ADDR` and `<SECTION>_NAME` (`NOTIFICATION_SERVER_ADDR`). Mistakes that `resolveOptions` finds
 * later in what was read are reported with file and line.
 *
 * @throws InvalidOptionsError when there is no such file (naming what was tried), or for YAML that is not valid or has a key
 * twice, with line and column.
 */
export function loadYamlConfig(): ConfigFile;
export function loadYamlConfig(name: string, options?: YamlConfigOptions): () => ConfigFile;
export function loadYamlConfig(name?: string, options: YamlConfigOptions = {}): ConfigFile | (() => ConfigFile) {
  const read = () => {
    const env = options.env ?? process.env;
    const directory = options.directory ?? configDirectory(env);
    return readConfig(directory, name === undefined ? applicationFile(directory) : namedFile(directory, name), env);
  };
  return name === undefined ? read() : read;
}

const configDirectory = (env: NodeJS.ProcessEnv): string => {
  const given = env.CONFIG_DIR;
  return given === undefined || given === '' ? 'config' : given;
};

const readConfig = (directory: string, file: string, env: NodeJS.ProcessEnv): ConfigFile => {
  const location = path.join(directory, file);
  let text: string;
  try {
    text = readFileSync(location, 'utf8');
  } catch (cause) {
    throw new InvalidOptionsError(`${location} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const config = parseConfig(text, location);
  applyEnvironment(config, env);
  return config;
};

const EXTENSIONS = ['.yaml', '.yml'];

const namedFile = (directory: string, name: string): string => {
  const file = EXTENSIONS.map((extension) => `${name}${extension}`).find((candidate) =>
    existsSync(path.join(directory, candidate)),
  );
  if (file !== undefined) return file;
  throw new InvalidOptionsError(
    `no configuration file ${path.resolve(directory, `${name}.yaml`)}: ${others(directory)}. ` +
      'Create it, start in the directory that holds config/, or set CONFIG_DIR',
  );
};

const applicationFile = (directory: string): string => {
  const files = configFiles(directory);
  const script = process.argv[1] ?? '';
  const application = path
    .resolve(script)
    .split(path.sep)
    .toReversed()
    .map((part) => part.replace(/\.[cm]?[jt]s$/, ''))
    .flatMap((part) => files.filter((file) => part === file.replace(/\.ya?ml$/, '')))[0];
  const file = application ?? (files.length === 1 ? files[0] : undefined);
  if (file !== undefined) return file;
  throw new InvalidOptionsError(
    `no configuration file in ${path.resolve(directory)} for ${script === '' ? 'this process' : script}: ` +
      `${others(directory)}. Name it: load: [loadYamlConfig('my-application')], or set CONFIG_DIR`,
  );
};

const configFiles = (directory: string): string[] => {
  try {
    return readdirSync(directory)
      .filter((file) => EXTENSIONS.includes(path.extname(file)))
      .toSorted();
  } catch {
    return [];
  }
};

const others = (directory: string): string => {
  if (!existsSync(directory)) return 'the directory does not exist';
  const files = configFiles(directory);
  return files.length === 0
    ? 'the directory has no YAML file'
    : `there is ${files.map((file) => quote(file)).join(', ')}`;
};
