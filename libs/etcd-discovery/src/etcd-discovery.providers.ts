import { Logger, type Provider, type Type } from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { DiscoveryService } from './discovery/discovery.service.js';
import { InvalidOptionsError } from './etcd-discovery.errors.js';
import { EtcdDiscoveryConnection } from './etcd-discovery.connection.js';
import { ETCD_DISCOVERY_OPTIONS } from './etcd-discovery.module-definition.js';
import { getDiscoveryServiceToken, getServiceRegistryToken, isDefaultConnection } from './etcd-discovery.tokens.js';
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
      return EtcdDiscoveryConnection.open(resolveOptions(withName(options, name)), logger);
    },
    inject: [ETCD_DISCOVERY_OPTIONS],
  },
  {
    provide: getServiceRegistryToken(name),
    useFactory: (connection: EtcdDiscoveryConnection, modules: ModulesContainer, httpAdapterHost?: HttpAdapterHost) => {
      startLastAndLeaveFirst(modules, hostModule);
      const registry = new ServiceRegistry({
        options: connection.options,
        etcd: connection.etcd,
        modules,
        httpAdapterHost,
        health: connection.options.health,
        closeConnection: () => connection.close(),
        log: logger,
      });
      offerByClass(modules, hostModule, getServiceRegistryToken(name), registry);
      return registry;
    },
    inject: [EtcdDiscoveryConnection, ModulesContainer, { token: HttpAdapterHost, optional: true }],
  },
  {
    provide: getDiscoveryServiceToken(name),
    useFactory: (connection: EtcdDiscoveryConnection, modules: ModulesContainer) => {
      const discovery = new DiscoveryService(connection);
      connection.catalog.onClose(() => discovery.close());
      offerByClass(modules, hostModule, getDiscoveryServiceToken(name), discovery);
      return discovery;
    },
    inject: [EtcdDiscoveryConnection, ModulesContainer],
  },
  {
    provide: getClientFactoryToken(name),
    useFactory: (connection: EtcdDiscoveryConnection, modules: ModulesContainer) => {
      const factory = new DiscoveryClientFactory(connection.name);
      offerByClass(modules, hostModule, getClientFactoryToken(name), factory);
      return factory;
    },
    inject: [EtcdDiscoveryConnection, ModulesContainer],
  },
];

/**
 * Makes `app.get(DiscoveryService)` find a named connection where there is no other. `get` takes the last module that has
 * the token, so that a named connection that provided the class as well would stand in for the default one.
 */
const offerByClass = (
  modules: ModulesContainer,
  hostModule: new () => object,
  token: string | Type<unknown>,
  instance: object,
): void => {
  const type = instance.constructor as Type<unknown>;
  const hosts = [...modules.values()].filter(({ metatype }) => metatype === hostModule);
  if (hosts.some(({ providers }) => providers.has(type))) return;
  hosts.find(({ providers }) => providers.has(token))?.addProvider({ provide: type, useValue: instance });
};

/** A named connection's factory is injected by nobody: `DiscoveryClientFactory.create` takes the connection's name. */
const getClientFactoryToken = (name?: string) =>
  isDefaultConnection(name) ? DiscoveryClientFactory : `EtcdDiscovery:${name}:DiscoveryClientFactory`;

/** What a module that imports `forRoot` can inject. */
export const rootExports = (name: string | undefined): NonNullable<Provider>[] =>
  [
    getDiscoveryServiceToken(name),
    getServiceRegistryToken(name),
    ...(isDefaultConnection(name) ? [DiscoveryClientFactory] : []),
  ] as NonNullable<Provider>[];

/** The name beside the options decides the tokens; one in the options has to be the same. */
const withName = (options: EtcdDiscoveryOptions, name: string | undefined): EtcdDiscoveryOptions => {
  if (name === undefined) return options;
  if (options.name !== undefined && options.name !== name) {
    throw new InvalidOptionsError(
      `name: the options say ${JSON.stringify(options.name)}, forRootAsync says ${JSON.stringify(name)}; expected the same, or none in the options`,
    );
  }
  return { ...options, name };
};

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
