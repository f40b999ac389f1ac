import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Clock, Random } from '../../utils/clock.js';
import { authService, clusterService, maintenanceService } from './cluster.services.js';
import { type EtcdService, etcdService } from './etcd.proto.js';
import type { EtcdState } from './etcd.state.js';
import { withRefusals } from './handlers.js';
import { kvService } from './kv.service.js';
import { leaseService } from './lease.service.js';
import { MAX_MESSAGE_BYTES } from './watch.fragment.js';
import { watchService } from './watch.service.js';

export interface GrpcServerDeps {
  readonly state: EtcdState;
  readonly clock: Clock;
  readonly random: Random;
  readonly progressNotifyIntervalMs: number;
  /** `host:port` that clients use, for the member list. */
  readonly endpoint: () => string;
}

/** etcd's client API on a loopback port of its own. One start is one server: it never comes back. */
export class GrpcServer {
  private readonly server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': -1,
  });

  constructor(deps: GrpcServerDeps) {
    const { state, random } = deps;
    const definition = (name: EtcdService) => etcdService(name);
    const implementations = {
      KV: kvService(state, definition('KV')),
      Lease: leaseService(state, random),
      Watch: watchService(deps, definition('Watch')),
      Cluster: clusterService(state, deps.endpoint),
      Maintenance: maintenanceService(state),
      Auth: authService(),
    };
    for (const [name, implementation] of Object.entries(implementations)) {
      const service = definition(name as EtcdService);
      this.server.addService(service, withRefusals(service, implementation));
    }
  }

  /** Listens on a free loopback port and returns it. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
  }

  /** Ends every call and connection at once: nothing reaches the state afterwards. Resolves when the port is free. */
  kill(): Promise<void> {
    return new Promise((resolve) => {
      // Forcing alone would be enough, but only the gentle way says when it is done.
      this.server.tryShutdown(() => resolve());
      this.server.forceShutdown();
    });
  }
}
