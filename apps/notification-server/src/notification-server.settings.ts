import { hostname } from 'node:os';
import type { ConfigService } from '@nestjs/config';
import type { EtcdDiscoveryOptions, Registration } from 'nestjs-etcd-discovery';

/** What `notification-server` listens on where the configuration says nothing. */
const DEFAULT_ADDR = '0.0.0.0:8080';
const DEFAULT_STORE_CAPACITY = 10_000;

/**
 * Options of the discovery module: the YAML, and what is not the same for every process of a deployment, from the
 * environment (`NOTIFICATION_SERVER_ZONE`, `NOTIFICATION_SERVER_WEIGHT`, `ETCD_NAMESPACE`).
 */
export function discoveryOptions(config: ConfigService, env: NodeJS.ProcessEnv = process.env): EtcdDiscoveryOptions {
  const registration = config.getOrThrow<Registration>('notification-server');
  const { NOTIFICATION_SERVER_ZONE: zone, NOTIFICATION_SERVER_WEIGHT: weight, ETCD_NAMESPACE: namespace } = env;
  // Into the object that was loaded, not into a copy: mistakes in it are reported with file and line.
  Object.assign(registration, {
    ...(zone ? { zone } : {}),
    // A weight that is no number is refused by the module, which says what was given.
    ...(weight ? { weight: /^\d+$/.test(weight) ? Number(weight) : weight } : {}),
    // Whoever looks into etcd sees which process an instance is.
    metadata: { host: hostname(), pid: String(process.pid), ...registration.metadata },
  });
  return { etcd: config.getOrThrow('etcd'), ...(namespace ? { namespace } : {}), registration };
}

/** `host:port` to listen on; port 0 takes a free one, and that one is published. */
export function listenAddress(config: ConfigService): string {
  return config.get<Registration>('notification-server')?.addr ?? DEFAULT_ADDR;
}

/**
 * How many notifications are kept: `store.capacity` of the YAML.
 *
 * @throws for anything but an integer of at least 1
 */
export function storeCapacity(config: ConfigService): number {
  const capacity = config.get<unknown>('store')?.['capacity' as never] ?? DEFAULT_STORE_CAPACITY;
  if (!Number.isInteger(capacity) || (capacity as number) < 1) {
    throw new TypeError(`store.capacity: expected an integer of at least 1, got ${JSON.stringify(capacity)}`);
  }
  return capacity;
}
