import type { experimental } from '@grpc/grpc-js';
import type { PolicyConfig } from '../../balancing/picker.interface.js';
import { LB_POLICY_NAME } from '../resolver/discovery-endpoint.js';

/** The policy's entry in a service config: `{ "etcd_discovery": { "policy": "round_robin", … } }`. */
export class LoadBalancerConfig implements experimental.TypedLoadBalancingConfig {
  constructor(readonly policy: PolicyConfig) {}

  getLoadBalancerName(): string {
    return LB_POLICY_NAME;
  }

  toJsonObject(): object {
    return { [LB_POLICY_NAME]: this.policy };
  }

  /**
   * Takes a policy nobody has defined as well: refusing it here would make grpc-js fall back to `round_robin` without a
   * word, while the balancer can say what is wrong with every call.
   */
  static createFromJson(json: Partial<PolicyConfig>): LoadBalancerConfig {
    const { policy = 'least_request' } = json;
    return new LoadBalancerConfig({ ...json, policy });
  }
}

/** Equal but for the order of keys; functions, as the key of a hash, by identity. */
export const sameConfig = (a: PolicyConfig, b: PolicyConfig): boolean => {
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every(
      (key) => a[key] === b[key] || (typeof a[key] !== 'function' && JSON.stringify(a[key]) === JSON.stringify(b[key])),
    )
  );
};
