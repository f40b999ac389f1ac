import { randomBytes } from 'node:crypto';
import type { DemoArguments } from '../arguments.js';
import { Child } from '../processes/child.js';
import { findEtcdBinary } from './find-etcd-binary.js';
import type { EtcdHostMessage } from './etcd-host.messages.js';

const LOCAL = 'localhost:2379';
const DEFAULT_NAMESPACE = '/services';

/** The etcd of a run. */
export interface DemoEtcd {
  readonly kind: 'given' | 'binary' | 'embedded';
  /** Comma-separated where there are several. */
  readonly endpoints: string;
  readonly namespace: string;
  /** Which one it is and why, for one line of output. */
  readonly description: string;
  /** Environment of the processes that are to use it. */
  readonly env: NodeJS.ProcessEnv;
  /** Present where the demo owns it. */
  readonly restart?: (downMs: number) => Promise<void>;
  close(): Promise<void>;
}

/** Chooses and, where it is the demo's own, starts it. */
export async function openEtcd(
  args: DemoArguments,
  onUnexpectedExit: (child: Child, how: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<DemoEtcd> {
  const given = args.useLocal ? LOCAL : env['ETCD_ENDPOINTS'];
  if (given) return givenEtcd(given, args.useLocal ? '--use-local' : 'ETCD_ENDPOINTS', env);
  const binary = findEtcdBinary(env);
  const { child, ready, restart } = startHost(binary, env, onUnexpectedExit);
  const { endpoint, description } = await ready;
  const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...rest } = env;
  return {
    kind: binary === undefined ? 'embedded' : 'binary',
    endpoints: endpoint,
    namespace: DEFAULT_NAMESPACE,
    description: `${description}, started for this run (pid ${child.pid})`,
    env: { ...rest, ETCD_ENDPOINTS: endpoint, ETCD_NAMESPACE: DEFAULT_NAMESPACE },
    restart,
    close: async () => {
      child.expectExit();
      child.tell({ type: 'stop' });
      await child.exitedWithin(8_000);
    },
  };
}

/** A line to look for oneself. */
export const etcdctlLine = ({ endpoints, namespace }: Pick<DemoEtcd, 'endpoints' | 'namespace'>): string =>
  `ETCDCTL_API=3 etcdctl --endpoints=${endpoints} get ${namespace}/ --prefix`;

/** Somebody else's etcd: never restarted, and nothing of this run outside a namespace of its own. */
function givenEtcd(endpoints: string, source: string, env: NodeJS.ProcessEnv): DemoEtcd {
  const namespace = `/demo-${randomBytes(4).toString('hex')}${DEFAULT_NAMESPACE}`;
  return {
    kind: 'given',
    endpoints,
    namespace,
    description: `the etcd at ${endpoints} (${source}), namespace ${namespace}`,
    env: { ...env, ETCD_ENDPOINTS: endpoints, ETCD_NAMESPACE: namespace },
    close: () => Promise.resolve(),
  };
}

function startHost(
  binary: string | undefined,
  env: NodeJS.ProcessEnv,
  onUnexpectedExit: (child: Child, how: string) => void,
) {
  let settle: { resolve: (up: Extract<EtcdHostMessage, { type: 'up' }>) => void; reject: (error: Error) => void };
  const next = () =>
    new Promise<Extract<EtcdHostMessage, { type: 'up' }>>((resolve, reject) => (settle = { resolve, reject }));
  const ready = next();
  const child = new Child({
    name: 'etcd',
    script: 'demo/src/etcd/etcd-host.main.js',
    args: binary === undefined ? [] : [binary],
    env,
    onMessage: (message) => {
      const answer = message as EtcdHostMessage;
      if (answer.type === 'up') settle.resolve(answer);
      else settle.reject(new Error(`etcd: ${answer.message}`));
    },
    onUnexpectedExit: (child, how) => {
      settle.reject(new Error(`the process that holds etcd ended: ${how}\n${child.output}`));
      onUnexpectedExit(child, how);
    },
  });
  const restart = async (downMs: number): Promise<void> => {
    const up = next();
    child.tell({ type: 'restart', downMs });
    await up;
  };
  return { child, ready, restart };
}
