import { experimental } from '@grpc/grpc-js';
import { EtcdLoadBalancer, type LoadBalancerDeps } from './etcd-load-balancer.js';

type LoadBalancerClass = Parameters<typeof experimental.registerLoadBalancerType>[1];

/** The class grpc-js is given: its constructor takes what grpc-js passes and nothing else. */
export const createLoadBalancerClass = (deps: LoadBalancerDeps): LoadBalancerClass =>
  class extends EtcdLoadBalancer {
    constructor(helper: experimental.ChannelControlHelper) {
      super(helper, deps);
    }
  };
