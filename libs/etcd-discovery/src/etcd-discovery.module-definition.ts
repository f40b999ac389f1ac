import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { EtcdDiscoveryOptions } from './options/etcd-discovery-options.interface.js';

/** What a class given to `forRootAsync({ useClass })` or `({ useExisting })` implements. */
export interface EtcdDiscoveryOptionsFactory {
  createEtcdDiscoveryOptions(): EtcdDiscoveryOptions | Promise<EtcdDiscoveryOptions>;
}

/** What stands beside the options, because Nest needs it before it can compute them. */
export interface EtcdDiscoveryModuleExtras {
  /** Makes the exports of the module injectable everywhere. Default `false`. */
  isGlobal?: boolean;
  /** Connection name; decides the injection tokens of a connection other than the default one. Default `'default'`. */
  name?: string;
}

export const {
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN: ETCD_DISCOVERY_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<EtcdDiscoveryOptions>({ moduleName: 'EtcdDiscovery' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createEtcdDiscoveryOptions')
  .setExtras<EtcdDiscoveryModuleExtras>({ isGlobal: false, name: undefined })
  .build();
