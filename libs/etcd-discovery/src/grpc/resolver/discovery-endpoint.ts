import type { ServiceInstance } from '../../instance/service-instance.js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';

/**
 * Channel options and resolver attributes under this prefix are not part of a connection's identity: without it, every
 * push with a new object would open new connections (measured on 1.14: 63 for 3 instances after 20 pushes, against 3).
 * The value of `experimental.SUBCHANNEL_ARGS_EXCLUDE_KEY_PREFIX`, which grpc-js has since 1.13.
 */
const EXCLUDED_FROM_IDENTITY = 'grpc.internal.no_subchannel';

/** Channel option by which a client of ours tells the resolver of its proto and its own settings: `ClientSettings`. */
export const CLIENT_SETTINGS_OPTION = `${EXCLUDED_FROM_IDENTITY}.etcd_discovery.client`;

/** Attribute by which the resolver tells the balancer whom it serves: `BalancerAttributes`. */
export const BALANCER_ATTRIBUTES = `${EXCLUDED_FROM_IDENTITY}.etcd_discovery.balancer`;

/** Name of the load-balancing policy in service configs. */
export const LB_POLICY_NAME = 'etcd_discovery';

/** The part of grpc-js's `Endpoint` that we make, with the instance behind it: endpoints reach the balancer by reference. */
export interface DiscoveryEndpoint {
  addresses: { host: string; port: number }[];
  /** `host:port`, made once for all who need to compare addresses. */
  address: string;
  instance: ServiceInstance;
}

/** What one client was told, beyond the defaults of its connection. */
export interface ClientSettings {
  readonly overrides: Partial<ResolvedClientDefaults>;
  /** Every method the client has, `package.Service/Method`, with what the proto says of it. */
  readonly methods: readonly { readonly path: string; readonly idempotent: boolean }[];
}

export interface BalancerAttributes {
  readonly connection: string;
  readonly service: string;
  readonly keepalive: ResolvedClientDefaults['keepalive'];
}
