import { Transport } from '@nestjs/microservices';
import { InvalidOptionsError } from '../../etcd-discovery.errors.js';
import { DiscoveryClientGrpc } from './discovery-client-grpc.js';
import type { DiscoveryGrpcClientOptions } from './discovery-client.options.js';

/**
 * Makes clients of discovered services. Injected, it makes them for the connection of its module; `create` of the class
 * itself makes them for the default connection, or the one the options name.
 */
export class DiscoveryClientFactory {
  constructor(private readonly connection?: string) {}

  /**
   * A client of one service. Whoever makes it closes it; a provider factory that returns it leaves that to Nest, which
   * closes it after its servers.
   *
   * @throws InvalidOptionsError for a transport other than gRPC, and as the constructor of `DiscoveryClientGrpc`
   */
  static create(options: DiscoveryGrpcClientOptions): DiscoveryClientGrpc {
    const { transport = Transport.GRPC, ...rest } = options as DiscoveryGrpcClientOptions & { transport?: Transport };
    if (transport !== Transport.GRPC) {
      throw new InvalidOptionsError(
        `transport of the client for "${options.service}": ${Transport[transport] ?? String(transport)} is not ` +
          'supported; supported is Transport.GRPC',
      );
    }
    return new DiscoveryClientGrpc(rest);
  }

  create(options: DiscoveryGrpcClientOptions): DiscoveryClientGrpc {
    const { connection } = this;
    return DiscoveryClientFactory.create(connection === undefined ? options : { connection, ...options });
  }
}
