import { Logger, type Provider } from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { DiscoveryService } from './discovery/discovery.service.js';
import { EtcdDiscoveryConnection } from './etcd-discovery.connection.js';
import { ETCD_DISCOVERY_OPTIONS } from './etcd-discovery.module-definition.js';
import { getDiscoveryServiceToken, getServiceRegistryToken } from './etcd-discovery.tokens.js';
import { DiscoveryClientFactory } from './grpc/client/discovery-client.factory.js';
import { findDuplicateGrpcJs, httpProxyWarning } from './grpc/register.js';
import { startLastAndLeaveFirst } from './lifecycle/hook-order.js';
import { ServiceRegistry } from './lifecycle/service-registry.service.js';
import type { EtcdDiscoveryOptions } from './options/etcd-discovery-options.interface.js';
import { resolveOptions } from './options/resolve-options.js';

const logger = new Logger('EtcdDiscovery');

/** The providers of one `forRoot`: the connection, and what an application injects. */
export const createRootProviders = (hostModule: new () => object, name: string | undefined): Provider[] => [
  {
    provide: EtcdDiscoveryConnection,
    useFactory: (options: EtcdDiscoveryOptions) => {
      reportSurroundings();
      return EtcdDiscoveryConnection.open(resolveOptions(name === undefined ? options : { name, ...options }), logger);
    },
    inject: [ETCD_DISCOVERY_OPTIONS],
  },
  {
    provide: ServiceRegistry,
    useFactory: (connection: EtcdDiscoveryConnection, modules: ModulesContainer, httpAdapterHost?: HttpAdapterHost) => {
      startLastAndLeaveFirst(modules, hostModule);
      return new ServiceRegistry({
        options: connection.options,
        etcd: connection.etcd,
        modules,
        httpAdapterHost,
        health: connection.options.health,
        closeConnection: () => connection.close(),
        log: logger,
      });
    },
    inject: [EtcdDiscoveryConnection, ModulesContainer, { token: HttpAdapterHost, optional: true }],
  },
  {
    provide: DiscoveryService,
    useFactory: (connection: EtcdDiscoveryConnection) => {
      const discovery = new DiscoveryService(connection);
      connection.catalog.onClose(() => discovery.close());
      return discovery;
    },
    inject: [EtcdDiscoveryConnection],
  },
  {
    provide: DiscoveryClientFactory,
    useFactory: (connection: EtcdDiscoveryConnection) => new DiscoveryClientFactory(connection.name),
    inject: [EtcdDiscoveryConnection],
  },
  // Under a name of its own where the connection has one, so that two connections can be injected side by side.
  ...[
    { token: getDiscoveryServiceToken(name), useExisting: DiscoveryService },
    { token: getServiceRegistryToken(name), useExisting: ServiceRegistry },
  ].flatMap(({ token, useExisting }) => (typeof token === 'string' ? [{ provide: token, useExisting }] : [])),
];

/** What a module that imports `forRoot` can inject. */
export const rootExports = (name: string | undefined): NonNullable<Provider>[] =>
  [
    getDiscoveryServiceToken(name),
    getServiceRegistryToken(name),
    ...(name === undefined || name === 'default' ? [DiscoveryClientFactory] : []),
  ] as NonNullable<Provider>[];

let reported = false;

/** What in this process would keep clients from ever reaching the resolver; said once. */
const reportSurroundings = (): void => {
  if (reported) return;
  reported = true;
  const proxy = httpProxyWarning(process.env);
  if (proxy) logger.warn(proxy);
  // The resolver lives in one copy of grpc-js; channels of another copy do not know the etcd: scheme.
  const paths = findDuplicateGrpcJs();
  if (paths.length < 2) return;
  logger.error(
    `${paths.length} copies of @grpc/grpc-js are loaded: ${paths.join(' and ')}. Clients of one of them do not know the etcd: scheme. ` +
      'Make them one: align the versions (npm ls @grpc/grpc-js, npm dedupe).',
  );
};
