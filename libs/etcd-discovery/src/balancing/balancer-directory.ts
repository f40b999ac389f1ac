import type { ServiceInstance } from '../instance/service-instance.js';
import { assertPolicyDefined } from './picker-registry.js';
import type { PolicyConfig } from './picker.interface.js';

export type ConnectionState = 'idle' | 'connecting' | 'ready' | 'failed';

/** One instance as one client sees it. */
export interface BalancedInstance {
  readonly instance: ServiceInstance;
  /** `host:port` the client connects to. */
  readonly address: string;
  readonly state: ConnectionState;
  readonly since: Date;
  /** Why the last connection failed or ended; undefined once it is ready. */
  readonly lastError?: string;
  readonly inFlight: number;
  /** Attempts sent to it since the client knows it. */
  readonly picks: number;
  readonly ewmaMs: number;
}

/** One client of a service and all it knows. */
export interface BalancerView {
  readonly policy: PolicyConfig;
  readonly state: ConnectionState;
  readonly instances: readonly BalancedInstance[];
}

/** What a live load balancer offers to the rest of the process. */
export interface LiveBalancer {
  readonly connection: string;
  readonly service: string;
  view(): BalancerView;
  /** Undefined for an address it does not connect to. */
  stateOf(address: string): ConnectionState | undefined;
  /** The policy set for its service at run time changed. */
  onPolicyChange(): void;
}

/** A connection under way may become ready; one that failed says more than one that nobody has tried. */
const RANK: Record<ConnectionState, number> = { idle: 0, failed: 1, connecting: 2, ready: 3 };

const keyOf = (connection: string, service: string): string => `${connection || 'default'}/${service}`;

/**
 * The live load balancers of a process by connection and service: where `describe` looks, and where the policy of a
 * service is changed while it runs.
 */
export class BalancerDirectory {
  private readonly balancers = new Map<string, Set<LiveBalancer>>();
  private readonly policies = new Map<string, PolicyConfig>();
  private readonly connectionListeners = new Set<(service: string, address: string) => void>();

  /** The returned function takes it out again. */
  add(balancer: LiveBalancer): () => void {
    const key = keyOf(balancer.connection, balancer.service);
    const set = this.balancers.get(key) ?? new Set();
    this.balancers.set(key, set.add(balancer));
    return () => {
      set.delete(balancer);
      if (set.size === 0 && this.balancers.get(key) === set) this.balancers.delete(key);
    };
  }

  /** One view per client that is connected to the service. */
  describe(connection: string, service: string): BalancerView[] {
    return [...(this.balancers.get(keyOf(connection, service)) ?? [])].map((balancer) => balancer.view());
  }

  /**
   * How a service's address stands with the channels of this process, through whatever connection to etcd they found it:
   * the best state of any; undefined where none connects to it.
   */
  stateOf(service: string, address: string): ConnectionState | undefined {
    let best: ConnectionState | undefined;
    for (const set of this.balancers.values()) {
      for (const balancer of set) {
        // All of a set are of one service.
        if (balancer.service !== service) break;
        const state = balancer.stateOf(address);
        if (state && (!best || RANK[state] > RANK[best])) best = state;
      }
    }
    return best;
  }

  /** For balancers: the connection to an address changed, or another attempt failed. */
  connectionChanged(service: string, address: string): void {
    for (const listener of Array.from(this.connectionListeners)) listener(service, address);
  }

  /** Calls `listener` with each change of any connection, from within the change. The returned function ends it. */
  onConnectionChange(listener: (service: string, address: string) => void): () => void {
    const member = (service: string, address: string) => listener(service, address);
    this.connectionListeners.add(member);
    return () => void this.connectionListeners.delete(member);
  }

  /**
   * Sets the policy of every client of a service, those to come included, from the next call on and without a
   * reconnect; `undefined` goes back to what each client was configured with.
   *
   * @throws InvalidOptionsError for a policy that nobody defined
   */
  setLoadBalancing(connection: string, service: string, policy: string | PolicyConfig | undefined): void {
    const key = keyOf(connection, service);
    if (policy === undefined) {
      this.policies.delete(key);
    } else {
      const config = typeof policy === 'string' ? { policy } : policy;
      assertPolicyDefined('setLoadBalancing', config.policy);
      this.policies.set(key, config);
    }
    for (const balancer of this.balancers.get(key) ?? []) balancer.onPolicyChange();
  }

  /** The policy set at run time, if there is one. */
  policyOf(connection: string, service: string): PolicyConfig | undefined {
    return this.policies.get(keyOf(connection, service));
  }
}

/** The directory of this process. */
export const balancers = new BalancerDirectory();
