import { formatHostPort } from '../../instance/host-port.js';
import type { ServiceInstance } from '../../instance/service-instance.js';
import type { DiscoveryEndpoint } from './discovery-endpoint.js';

/**
 * The addresses a gRPC client connects to: instances with a gRPC endpoint, one per address. Where two instances claim
 * the same address, the one created last is the process that listens there; the other died without leaving.
 */
export const grpcEndpoints = (instances: readonly ServiceInstance[]): DiscoveryEndpoint[] => {
  const byAddress = new Map<string, DiscoveryEndpoint>();
  for (const instance of instances) {
    const endpoint = instance.endpoints.find(({ protocol }) => protocol === 'grpc');
    if (!endpoint) continue;
    const { host, port } = endpoint;
    const address = formatHostPort(host, port);
    const rival = byAddress.get(address);
    if (rival && rival.instance.createRevision >= instance.createRevision) continue;
    byAddress.set(address, { addresses: [{ host, port }], address, instance });
  }
  return [...byAddress.values()];
};
