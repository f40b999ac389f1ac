import { balancers } from './balancing/balancer-directory.js';
import { addressPolicy } from './catalog/address-policy.js';
import { EtcdCatalog } from './catalog/etcd-catalog.js';
import { type DiscoveryConnection, connections } from './catalog/connection-directory.js';
import type { ServiceCatalog } from './catalog/service-catalog.js';
import { StaticCatalog } from './catalog/static-catalog.js';
import { EtcdDiscoveryError } from './etcd-discovery.errors.js';
import type { EtcdClient } from './etcd/etcd-client.js';
import { createEtcdClient } from './etcd/etcd3-client.js';
import { isEtcdFailure } from './etcd/etcd-status.js';
import { clientDefaultsOf } from './options/resolve-options.js';
import type { ResolvedClientDefaults, ResolvedEtcdDiscoveryOptions } from './options/resolved-options.js';
import { Registrar } from './registry/registrar.js';
import type { Log } from './utils/log.js';

/** One module's connection: the etcd client and what reads and writes through it. Opened and closed with the module. */
export class EtcdDiscoveryConnection implements DiscoveryConnection {
  readonly name: string;
  readonly resolveTimeoutMs: number;
  readonly catalog: ServiceCatalog;
  /** Absent with `enabled: false`. */
  readonly etcd?: { readonly client: EtcdClient; readonly registrar: Registrar };

  private readonly leaveDirectory: () => void;
  private closing: Promise<void> | undefined;

  /**
   * @throws EtcdDiscoveryError ETCD_UNAVAILABLE, ETCD_AUTH or ETCD_TLS with `failFast`, when etcd does not answer
   * within `dialTimeout`.
   */
  static async open(options: ResolvedEtcdDiscoveryOptions, log: Log): Promise<EtcdDiscoveryConnection> {
    const connection = new EtcdDiscoveryConnection(options, log);
    if (options.failFast) {
      await connection.verify().catch(async (error: unknown) => {
        await connection.close();
        throw error;
      });
    }
    return connection;
  }

  private constructor(
    readonly options: ResolvedEtcdDiscoveryOptions,
    private readonly log: Log,
  ) {
    this.name = options.name;
    this.resolveTimeoutMs = options.discovery.resolveTimeoutMs;
    if (options.enabled) {
      const client = createEtcdClient(options.etcd, { log });
      this.etcd = { client, registrar: new Registrar({ etcd: client, namespace: options.namespace, log }) };
      this.catalog = new EtcdCatalog({
        etcd: client,
        namespace: options.namespace,
        options: options.discovery,
        endpoints: options.etcd.endpoints,
        accept: addressPolicy(options.discovery, options.etcd.endpoints),
        connections: {
          stateOf: (service, address) => balancers.stateOf(service, address),
          onChange: (listener) => balancers.onConnectionChange(listener),
        },
        log,
      });
      for (const line of withoutEffect(options)) log.warn(line);
    } else {
      log.log('enabled: false: no etcd, instances come from discovery.static');
      this.catalog = new StaticCatalog({ options: options.discovery, log });
    }
    this.leaveDirectory = connections.open(this);
  }

  clientDefaults(service: string): ResolvedClientDefaults {
    return clientDefaultsOf(this.options, service);
  }

  /** Releases everything; lists already handed out stay as they are. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.shut());
  }

  private async shut(): Promise<void> {
    this.leaveDirectory();
    await this.etcd?.registrar.close();
    await this.catalog.close();
    await this.etcd?.client.close();
  }

  private async verify(): Promise<void> {
    const { etcd, options } = this;
    if (!etcd) return;
    const { dialTimeoutMs, endpoints } = options.etcd;
    await etcd.client
      .range({ key: `${options.namespace}/`, limit: 1, keysOnly: true }, { timeoutMs: dialTimeoutMs })
      .catch((error: unknown) => {
        // A role that may not read exactly this key is an answer all the same.
        if (isEtcdFailure(error, 'permission-denied')) return;
        const { code, message } =
          error instanceof EtcdDiscoveryError ? error : { code: 'ETCD_UNAVAILABLE' as const, message: String(error) };
        throw new EtcdDiscoveryError(
          code,
          `etcd at ${endpoints.join(', ')} is needed at start (failFast: true), but: ${message}. ` +
            'Check etcd.endpoints and credentials, or set failFast: false to start without etcd and catch up.',
          { cause: error },
        );
      });
  }
}

/** Options that are part of the contract but have no effect in this version: said, never ignored in silence. */
const withoutEffect = ({ client, services, discovery, registrations }: ResolvedEtcdDiscoveryOptions): string[] => {
  const outliers = [client, ...Object.values(services)].map(({ outlierDetection }) => outlierDetection);
  const given = [
    discovery.sources.length > 0 && 'discovery.sources',
    outliers.some((setting) => setting && Object.keys(setting).length > 0) && 'client.outlierDetection',
    registrations.some(({ mirror }) => mirror.plain || mirror.goZero !== undefined) && 'registration.mirror',
  ];
  return given.filter((name) => name !== false).map((name) => `${name} has no effect in this version yet`);
};
