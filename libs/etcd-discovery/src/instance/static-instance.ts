import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { formatHostPort } from './host-port.js';
import { parseEndpointAddress } from './instance-endpoint.js';
import { EMPTY_METADATA } from './metadata.js';
import { DEFAULT_WEIGHT, type ServiceInstance } from './service-instance.js';

/**
 * Instances out of the options, one per distinct address; the address is the id, so that a list that is read again gives
 * the same instances.
 *
 * @throws InvalidOptionsError for an address that is not `host:port`
 */
export const staticInstances = (service: string, addresses: readonly string[]): ServiceInstance[] => {
  const instances = addresses.map((address) => staticInstance(service, address));
  return [...new Map(instances.map((instance) => [instance.id, instance])).values()];
};

const staticInstance = (service: string, given: string): ServiceInstance => {
  const endpoint = parseEndpointAddress(given);
  if (typeof endpoint === 'string') throw new InvalidOptionsError(`discovery.static of ${service}: ${endpoint}`);
  const address = formatHostPort(endpoint.host, endpoint.port);
  return Object.freeze({
    id: address,
    service,
    address,
    host: endpoint.host,
    port: endpoint.port,
    endpoints: Object.freeze([endpoint]),
    weight: DEFAULT_WEIGHT,
    metadata: EMPTY_METADATA,
    status: 'up',
    suspect: false,
    format: 'static',
    createRevision: 0,
    modRevision: 0,
  });
};
