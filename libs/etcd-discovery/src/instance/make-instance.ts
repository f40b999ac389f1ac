import { formatHostPort } from './host-port.js';
import type { InstanceContent } from './foreign-formats.js';
import type { StoredValue } from './stored-value.js';
import type { InstanceEndpoint, ServiceInstance } from './service-instance.js';

/**
 * The instance of a value, frozen, with fields that are not there left out. Those that every instance has come first and
 * in one literal, so that all instances share few hidden classes; that makes what reads ten thousand of them fast.
 */
export const makeInstance = (
  { service, id, createRevision, modRevision }: StoredValue,
  { host, port }: InstanceEndpoint,
  content: InstanceContent,
): ServiceInstance => {
  const { version, zone, registeredAt } = content;
  const instance: { -readonly [Field in keyof ServiceInstance]: ServiceInstance[Field] } = {
    id,
    service,
    address: formatHostPort(host, port),
    host,
    port,
    endpoints: Object.freeze(content.endpoints),
    weight: content.weight,
    metadata: content.metadata,
    status: content.status,
    suspect: false,
    format: content.format,
    createRevision,
    modRevision,
  };
  if (version !== undefined) instance.version = version;
  if (zone !== undefined) instance.zone = zone;
  if (registeredAt !== undefined) instance.registeredAt = registeredAt;
  return Object.freeze(instance);
};
