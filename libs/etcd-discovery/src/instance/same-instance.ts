import type { InstanceEndpoint, ServiceInstance } from './service-instance.js';

/**
 * Whether two instances say the same, field by field. Written out, because a reconciling list compares every instance
 * there is in one go: a tenth of the time of a comparison that knows nothing of the fields.
 */
export const sameInstance = (a: ServiceInstance | undefined, b: ServiceInstance | undefined): boolean =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.id === b.id &&
    a.service === b.service &&
    a.address === b.address &&
    a.host === b.host &&
    a.port === b.port &&
    a.version === b.version &&
    a.zone === b.zone &&
    a.weight === b.weight &&
    a.status === b.status &&
    a.suspect === b.suspect &&
    a.format === b.format &&
    a.createRevision === b.createRevision &&
    a.modRevision === b.modRevision &&
    a.registeredAt?.getTime() === b.registeredAt?.getTime() &&
    sameEndpoints(a.endpoints, b.endpoints) &&
    sameMetadata(a.metadata, b.metadata));

const sameEndpoints = (a: readonly InstanceEndpoint[], b: readonly InstanceEndpoint[]): boolean =>
  a.length === b.length &&
  a.every((endpoint, index) => {
    const other = b[index]!;
    return (
      endpoint.protocol === other.protocol &&
      endpoint.host === other.host &&
      endpoint.port === other.port &&
      endpoint.secure === other.secure
    );
  });

const sameMetadata = (a: ServiceInstance['metadata'], b: ServiceInstance['metadata']): boolean => {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
};
