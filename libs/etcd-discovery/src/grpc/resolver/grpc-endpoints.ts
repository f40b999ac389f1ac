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
    const key = `${host} ${port}`;
    const rival = byAddress.get(key);
    if (rival && rival.instance.createRevision >= instance.createRevision) continue;
    byAddress.set(key, { addresses: [{ host, port }], instance });
  }
  return [...byAddress.values()];
};
