import type { GrpcOptions, Transport } from '@nestjs/microservices';
import type { ClientDefaults } from '../../options/etcd-discovery-options.interface.js';

type NestGrpcOptions = GrpcOptions['options'];

/**
 * Options of a discovering gRPC client: those of Nest's own gRPC client without `url`, the service's name instead, and
 * how its calls behave. What is not given here comes from `services.<name>` and `client` of the module's options; those
 * are read when the first call is made, so that a client may be built before the module.
 */
export interface DiscoveryGrpcOptions extends Omit<NestGrpcOptions, 'url' | 'keepalive'>, ClientDefaults {
  /** Name of the service in etcd. */
  service: string;
  /** Name of the connection, for several etcd clusters in one process. Default: the default connection. */
  connection?: string;
  /** `time` and `timeout` as everywhere in this library, or the names Nest uses. */
  keepalive?: ClientDefaults['keepalive'] & NestGrpcOptions['keepalive'];
}

/** Options of `DiscoveryClientFactory.create` for gRPC. */
export interface DiscoveryGrpcClientOptions extends DiscoveryGrpcOptions {
  transport?: Transport.GRPC;
}

/** One entry of `EtcdDiscoveryModule.forFeature`. */
export interface GrpcFeature extends DiscoveryGrpcOptions {
  /** What the client is injected by. Default: `getGrpcClientToken(service, connection)`. */
  token?: string | symbol;
}
