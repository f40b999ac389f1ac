// Importing the package teaches grpc-js the scheme etcd: — clients may be built before the module is.
import './grpc/register.js';

// --- For applications -------------------------------------------------------------------------------------------
export { EtcdDiscoveryModule } from './etcd-discovery.module.js';
export type { EtcdDiscoveryModuleExtras, EtcdDiscoveryOptionsFactory } from './etcd-discovery.module-definition.js';
export type {
  ClientDefaults,
  DiscoveryOptions,
  Duration,
  EtcdDiscoveryOptions,
  EtcdOptions,
  LoadBalancing,
  Registration,
  ShutdownOptions,
  Source,
} from './options/etcd-discovery-options.interface.js';
export { loadYamlConfig } from './options/yaml-config.js';

export { ServiceRegistry } from './lifecycle/service-registry.service.js';
export type { RegistrationState } from './registry/registration-state.js';

export {
  DiscoveryService,
  type ServiceDescription,
  type WaitForServiceOptions,
} from './discovery/discovery.service.js';
export type { DialedClient, DialOptions, GrpcClientClass } from './discovery/dial.js';
export type { ServiceEvent } from './catalog/service-catalog.js';
export type {
  EndpointProtocol,
  InstanceEndpoint,
  InstanceFormat,
  ServiceInstance,
} from './instance/service-instance.js';

export { DiscoveryClientFactory } from './grpc/client/discovery-client.factory.js';
export { DiscoveryClientGrpc } from './grpc/client/discovery-client-grpc.js';
export { getGrpcClientToken, InjectGrpcClient } from './grpc/client/inject-grpc-client.decorator.js';
export type { DiscoveryGrpcOptions } from './grpc/client/discovery-client.options.js';
export type { GrpcFeature } from './grpc/client/feature.providers.js';
export { defaultChannelOptions, etcdTarget } from './grpc/client/dial.js';
export {
  getDiscoveryServiceToken,
  getServiceRegistryToken,
  InjectDiscovery,
  InjectServiceRegistry,
} from './etcd-discovery.tokens.js';

export {
  DiscoveryTimeoutError,
  type ErrorCode,
  EtcdDiscoveryError,
  InvalidOptionsError,
  RegistrationConflictError,
  ServiceUnavailableError,
} from './etcd-discovery.errors.js';

// --- For authors of extensions ----------------------------------------------------------------------------------
export { ETCD_DISCOVERY_OPTIONS } from './etcd-discovery.module-definition.js';
export { definePicker } from './balancing/picker-registry.js';
export type { PickCandidate, Picker, PickerFactory, PickRequest, PolicyConfig } from './balancing/picker.interface.js';
export type { BalancedInstance, BalancerView } from './balancing/balancer-directory.js';
export { EtcdRequestError, type EtcdFailure } from './etcd/etcd-status.js';
