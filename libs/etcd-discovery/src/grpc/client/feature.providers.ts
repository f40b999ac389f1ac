import type { FactoryProvider } from '@nestjs/common';
import { DiscoveryClientGrpc } from './discovery-client-grpc.js';
import type { GrpcFeature } from './discovery-client.options.js';
import { getGrpcClientToken } from './inject-grpc-client.decorator.js';

export type { GrpcFeature } from './discovery-client.options.js';

/**
 * One provider per entry. The client is built when Nest builds its providers, so that a mistake in the options fails the
 * start and not the import, and closed with `onApplicationShutdown`, that is, after the servers have drained.
 */
export const createFeatureProviders = (features: readonly GrpcFeature[]): FactoryProvider<DiscoveryClientGrpc>[] =>
  features.map(({ token, ...options }) => ({
    provide: token ?? getGrpcClientToken(options.service, options.connection),
    useFactory: () => new DiscoveryClientGrpc(options),
  }));
