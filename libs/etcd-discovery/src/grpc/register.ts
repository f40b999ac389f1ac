import { createRequire } from 'node:module';
import { experimental } from '@grpc/grpc-js';
import { balancers } from '../balancing/balancer-directory.js';
import { connections } from '../catalog/connection-directory.js';
import { systemClock } from '../utils/clock.js';
import { createLoadBalancerClass } from './balancer/load-balancer-class.js';
import { LoadBalancerConfig } from './balancer/load-balancer-config.js';
import { LB_POLICY_NAME } from './resolver/discovery-endpoint.js';
import { createResolverClass } from './resolver/etcd-resolver.js';
import { ETCD_SCHEME } from './resolver/etcd-target.js';

/**
 * Importing this file makes `etcd:` targets work in every channel of the process. It runs when the library is loaded,
 * because clients may be built before the module is.
 */
experimental.registerResolver(ETCD_SCHEME, createResolverClass({ connections, clock: systemClock }));

/**
 * The interface of load balancers changed in each minor version up to 1.14. On older ones the policy stays unknown, and
 * service configs fall through to `round_robin`, which they name second.
 */
const balancerFits =
  typeof experimental.LeafLoadBalancer === 'function' && typeof experimental.statusOrFromValue === 'function';

if (balancerFits) {
  experimental.registerLoadBalancerType(
    LB_POLICY_NAME,
    createLoadBalancerClass({ balancers, clock: systemClock }),
    LoadBalancerConfig,
  );
}

const GRPC_JS = '@grpc/grpc-js';
const GRPC_JS_FILE = /[\\/]@grpc[\\/]grpc-js[\\/]build[\\/]src[\\/]index\.js$/;

/** Talks to etcd with static addresses only; whatever copy it has is its own business. */
const PRIVATE_COPY = /[\\/]etcd3[\\/]node_modules[\\/]/;

/**
 * Every copy of grpc-js that clients of this process use: ours, the one `@nestjs/microservices` resolves, and those
 * loaded already. More than one is trouble: a channel made by another copy than ours does not know the `etcd:` scheme and
 * asks DNS instead.
 *
 * @returns paths of the copies' main files, ours first; one entry when all is well
 */
export const findDuplicateGrpcJs = (): string[] => {
  const ownRequire = createRequire(import.meta.url);
  const found = [ownRequire.resolve(GRPC_JS)];
  try {
    found.push(createRequire(ownRequire.resolve('@nestjs/microservices')).resolve(GRPC_JS));
  } catch {
    // Without @nestjs/microservices there is nothing of Nest's to disagree with.
  }
  found.push(...Object.keys(ownRequire.cache).filter((path) => GRPC_JS_FILE.test(path) && !PRIVATE_COPY.test(path)));
  return [...new Set(found)];
};

/**
 * What to tell the user when the environment names an HTTP proxy: grpc-js replaces the target by the proxy's before any
 * resolver sees it. Our own clients switch that off; clients of others have to. Undefined when there is no proxy.
 */
export const httpProxyWarning = (env: NodeJS.ProcessEnv): string | undefined => {
  const variable = ['grpc_proxy', 'https_proxy', 'http_proxy'].find((name) => env[name]);
  if (!variable) return undefined;
  return (
    `${variable} is set: gRPC channels that are not made by this library send their etcd: targets to that proxy. ` +
    `Set channelOptions: { 'grpc.enable_http_proxy': 0 } on them, or list the services in no_grpc_proxy`
  );
};
