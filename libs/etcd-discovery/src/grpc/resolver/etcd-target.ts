import { InvalidOptionsError } from '../../etcd-discovery.errors.js';
import { assertValidName } from '../../instance/names.js';

/** Scheme of the targets this library resolves. */
export const ETCD_SCHEME = 'etcd';

export const DEFAULT_CONNECTION = 'default';

/** What a target names: a service, and the connection it is looked up in. */
export interface EtcdTarget {
  readonly connection: string;
  readonly service: string;
}

/**
 * The target of a service for any grpc-js channel: `etcd:///<service>`, or `etcd://<connection>/<service>` for a named
 * connection.
 *
 * @throws EtcdDiscoveryError INVALID_NAME for a service name that cannot be
 */
export const etcdTarget = (service: string, connection: string = DEFAULT_CONNECTION): string => {
  assertValidName('service name', service);
  if (/[/?#\s]/.test(connection)) {
    throw new InvalidOptionsError(`connection: "${connection}" cannot be the name of a connection`);
  }
  return `${ETCD_SCHEME}://${connection === DEFAULT_CONNECTION ? '' : connection}/${service}`;
};

/**
 * Reads a target as grpc-js has parsed it.
 *
 * @throws EtcdDiscoveryError INVALID_NAME for a service name that cannot be
 */
export const parseEtcdTarget = (uri: { authority?: string; path: string }): EtcdTarget => {
  const service = uri.path.replace(/^\//, '');
  assertValidName('service name', service);
  return { connection: uri.authority || DEFAULT_CONNECTION, service };
};
