import type { Server, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { Injectable } from '@nestjs/common';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { HealthImplementation } from 'grpc-health-check';
import { ServiceRegistry } from 'nestjs-etcd-discovery';

/** The names that `grpc.health.v1` answers for: the server as a whole, and the service. */
const HEALTH_NAMES = ['', 'notification.v1.NotificationService'] as const;

/** SERVING from the start of the application to the start of its drain, then NOT_SERVING, while calls still finish. */
@Injectable()
export class NotificationHealth implements OnApplicationBootstrap {
  private readonly health = new HealthImplementation();
  private readonly watchers = new Set<ServerWritableStream<unknown, unknown>>();

  constructor(private readonly registry: ServiceRegistry) {
    this.setAll('NOT_SERVING');
  }

  onApplicationBootstrap(): void {
    this.setAll('SERVING');
    this.registry.draining$.subscribe(() => {
      this.setAll('NOT_SERVING');
      // They have been told; a stream without an end would hold up the stop until it is forced.
      for (const watcher of this.watchers) watcher.end();
    });
  }

  addTo(server: Server): void {
    this.health.addToServer({
      addService: (definition: Parameters<Server['addService']>[0], methods: UntypedServiceImplementation) =>
        server.addService(definition, { ...methods, watch: this.remembering(methods['watch'] as WatchHandler) }),
    } as Server);
  }

  private remembering(watch: WatchHandler): WatchHandler {
    return (call) => {
      this.watchers.add(call);
      call.once('close', () => this.watchers.delete(call));
      call.once('cancelled', () => this.watchers.delete(call));
      watch(call);
    };
  }

  private setAll(status: 'SERVING' | 'NOT_SERVING'): void {
    for (const name of HEALTH_NAMES) this.health.setStatus(name, status);
  }
}

type WatchHandler = (call: ServerWritableStream<unknown, unknown>) => void;
