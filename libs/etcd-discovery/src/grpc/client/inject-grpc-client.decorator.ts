import { Inject } from '@nestjs/common';
import { DEFAULT_CONNECTION } from '../resolver/etcd-target.js';

/** The token `forFeature` provides the client of a service under, unless its entry names another. */
export const getGrpcClientToken = (service: string, connection: string = DEFAULT_CONNECTION): string =>
  connection === DEFAULT_CONNECTION ? `EtcdGrpcClient_${service}` : `EtcdGrpcClient_${connection}/${service}`;

/**
 * Injects the client that `EtcdDiscoveryModule.forFeature` provides for a service.
 *
 * ```ts
 * constructor(@InjectGrpcClient('notification-server') private readonly client: ClientGrpc) {}
 * ```
 */
export const InjectGrpcClient = (service: string, connection?: string): PropertyDecorator & ParameterDecorator =>
  Inject(getGrpcClientToken(service, connection));
