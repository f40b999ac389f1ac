import { type DynamicModule, Module } from '@nestjs/common';
import { ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, OPTIONS_TYPE } from './etcd-discovery.module-definition.js';
import { createRootProviders, rootExports } from './etcd-discovery.providers.js';
import { type GrpcFeature, createFeatureProviders } from './grpc/client/feature.providers.js';

/**
 * Joins an application to a fleet: registers its servers in etcd while they serve, finds the others, and gives clients
 * that balance over live instances.
 *
 * ```ts
 * EtcdDiscoveryModule.forRoot({
 *   etcd: { endpoints: 'localhost:2379' },
 *   registration: { name: 'notification-server' },
 * })
 * ```
 */
@Module({})
export class EtcdDiscoveryModule extends ConfigurableModuleClass {
  /**
   * The connection, the registration and the cache of one application.
   *
   * @throws InvalidOptionsError when the application starts, with every mistake in the options at once.
   */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return this.root(super.forRoot(options), options);
  }

  /** As `forRoot`, with options from a factory, a class or an existing provider. */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return this.root(super.forRootAsync(options), options);
  }

  /** One `ClientGrpc` provider per entry, injected with `@InjectGrpcClient(service)`; needs a `forRoot` somewhere. */
  static forFeature(features: readonly GrpcFeature[]): DynamicModule {
    const providers = createFeatureProviders(features);
    return {
      module: EtcdDiscoveryFeatureModule,
      providers,
      exports: providers,
    };
  }

  private static root(
    definition: DynamicModule,
    { isGlobal, name }: { isGlobal?: boolean; name?: string },
  ): DynamicModule {
    return {
      ...definition,
      global: isGlobal ?? false,
      providers: [...(definition.providers ?? []), ...createRootProviders(EtcdDiscoveryModule, name)],
      exports: rootExports(name),
    };
  }
}

/** The module behind `forFeature`; apart from the root one, whose place in the order of hooks is its own. */
@Module({})
export class EtcdDiscoveryFeatureModule {}
