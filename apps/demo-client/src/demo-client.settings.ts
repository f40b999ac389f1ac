import type { ConfigService } from '@nestjs/config';
import type { ClientDefaults, EtcdDiscoveryOptions } from 'nestjs-etcd-discovery';

/** Name of the service in etcd that is called. */
export const SERVICE = 'notification-server';

const DEFAULT_CALLS_PER_SECOND = 50;
const MAX_CALLS_PER_SECOND = 10_000;

export type Output = 'text' | 'json';

export interface DemoClientSettings {
  readonly callsPerSecond: number;
  /** `text`: a line per second, for people. `json`: a message per line. Ignored where a parent listens over IPC. */
  readonly output: Output;
}

/** `ETCD_NAMESPACE` lets several runs share one etcd. Nothing is registered: the client holds no lease. */
export function discoveryOptions(config: ConfigService, env: NodeJS.ProcessEnv = process.env): EtcdDiscoveryOptions {
  const { ETCD_NAMESPACE: namespace } = env;
  const client = config.get<ClientDefaults>('client');
  return {
    etcd: config.getOrThrow('etcd'),
    ...(client === undefined ? {} : { client }),
    ...(namespace ? { namespace } : {}),
  };
}

/**
 * `DEMO_CLIENT_RPS` and `DEMO_CLIENT_OUTPUT`, else `demo-client.rps` and `demo-client.output` of the YAML.
 *
 * @throws TypeError that names the setting, what was given and what was expected
 */
export function demoClientSettings(config: ConfigService, env: NodeJS.ProcessEnv = process.env): DemoClientSettings {
  const file = config.get<{ rps?: unknown; output?: unknown }>('demo-client') ?? {};
  const rps = env['DEMO_CLIENT_RPS'] || file.rps || DEFAULT_CALLS_PER_SECOND;
  const callsPerSecond = Number(rps);
  if (!(callsPerSecond > 0 && callsPerSecond <= MAX_CALLS_PER_SECOND)) {
    throw new TypeError(
      `demo-client.rps (or DEMO_CLIENT_RPS): expected calls per second, above 0 and up to ${MAX_CALLS_PER_SECOND}, got ${JSON.stringify(rps)}`,
    );
  }
  const output = env['DEMO_CLIENT_OUTPUT'] || file.output || 'text';
  if (output !== 'text' && output !== 'json') {
    throw new TypeError(
      `demo-client.output (or DEMO_CLIENT_OUTPUT): expected text or json, got ${JSON.stringify(output)}`,
    );
  }
  return { callsPerSecond, output };
}
