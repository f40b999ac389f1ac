import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { endpointUrl, preferredEndpoint } from './instance-endpoint.js';
import { formatHostPort } from './host-port.js';
import { freezeMetadata, RESERVED_METADATA_KEYS } from './metadata.js';
import type { InstanceEndpoint } from './service-instance.js';
import { byteLength } from './text.js';
import { MAX_VALUE_BYTES } from './value-limits.js';

export { decodeInstance, type DecodeResult } from './decode-instance.js';
export type { StoredValue } from './stored-value.js';

/** What a process publishes about itself. */
export interface InstanceRecord {
  readonly service: string;
  readonly id: string;
  /** At least one; the gRPC one, else the first, is the address that stock readers see. */
  readonly endpoints: readonly InstanceEndpoint[];
  readonly version?: string;
  readonly zone?: string;
  /** Integer 1–10000. */
  readonly weight: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly registeredAt: Date;
}

/**
 * The stored value: one JSON object whose fields etcd's Go naming resolver (`Op`, `Addr`), Kratos (`id`, `name`,
 * `version`, `metadata`, `endpoints`) and Kitex (`network`, `address`, `weight`, `tags`) each take as their own. What
 * their decoders forbid is kept out: metadata values are strings, `weight` is an integer, and as Go matches names
 * without regard to case there is never a field `op`, nor both `metadata` and `Metadata`.
 *
 * @throws EtcdDiscoveryError INVALID_OPTIONS when the record has no endpoint or is larger than readers accept (16 KB).
 */
export const encodeInstance = (record: InstanceRecord, status: 'up' | 'draining'): string => {
  const preferred = preferredEndpoint(record.endpoints);
  if (!preferred) {
    throw new EtcdDiscoveryError('INVALID_OPTIONS', `instance ${record.id} of ${record.service} has no endpoint`);
  }
  const address = formatHostPort(preferred.host, preferred.port);
  const zone = record.zone === undefined ? [] : [['zone', record.zone] as const];
  const own = Object.entries(record.metadata).filter(([key]) => !RESERVED_METADATA_KEYS.has(key));
  const value = JSON.stringify({
    Op: 0,
    Addr: address,
    id: record.id,
    name: record.service,
    version: record.version,
    metadata: freezeMetadata([...zone, ['weight', String(record.weight)], ...own]),
    endpoints: record.endpoints.map(endpointUrl),
    network: 'tcp',
    address,
    weight: record.weight,
    tags: freezeMetadata([...zone, ...own]),
    status,
    registeredAt: record.registeredAt.toISOString(),
  });
  const size = byteLength(value);
  if (size > MAX_VALUE_BYTES) {
    throw new EtcdDiscoveryError(
      'INVALID_OPTIONS',
      `the record of ${record.id} of ${record.service} has ${size} bytes, readers accept ${MAX_VALUE_BYTES}: give it less metadata`,
    );
  }
  return value;
};
