import { Inject } from '@nestjs/common';
import { DiscoveryService } from './discovery/discovery.service.js';
import { ServiceRegistry } from './lifecycle/service-registry.service.js';

/** Whether a connection is the one that the classes themselves are the tokens of. */
export const isDefaultConnection = (connection?: string): boolean =>
  connection === undefined || connection === '' || connection === 'default';

/** The token of a connection's `DiscoveryService`: the class itself for the default connection. */
export const getDiscoveryServiceToken = (connection?: string): string | typeof DiscoveryService =>
  isDefaultConnection(connection) ? DiscoveryService : `EtcdDiscovery:${connection}:DiscoveryService`;

/** The token of a connection's `ServiceRegistry`: the class itself for the default connection. */
export const getServiceRegistryToken = (connection?: string): string | typeof ServiceRegistry =>
  isDefaultConnection(connection) ? ServiceRegistry : `EtcdDiscovery:${connection}:ServiceRegistry`;

/** Injects the `DiscoveryService` of a named connection. */
export const InjectDiscovery = (connection?: string): ParameterDecorator =>
  Inject(getDiscoveryServiceToken(connection));

/** Injects the `ServiceRegistry` of a named connection. */
export const InjectServiceRegistry = (connection?: string): ParameterDecorator =>
  Inject(getServiceRegistryToken(connection));
