import { Injectable } from '@nestjs/common';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { HealthImplementation } from 'grpc-health-check';
import { ServiceRegistry } from 'nestjs-etcd-discovery';

/** The names that `grpc.health.v1` answers for: the server as a whole, and the service. */
export const HEALTH_NAMES = ['', 'notification.v1.NotificationService'] as const;

/** SERVING from the start of the application to the start of its drain, then NOT_SERVING, while calls still finish. */
@Injectable()
export class NotificationHealth implements OnApplicationBootstrap {
  constructor(
    private readonly health: HealthImplementation,
    private readonly registry: ServiceRegistry,
  ) {
    this.setAll('NOT_SERVING');
  }

  onApplicationBootstrap(): void {
    this.setAll('SERVING');
    this.registry.draining$.subscribe(() => this.setAll('NOT_SERVING'));
  }

  private setAll(status: 'SERVING' | 'NOT_SERVING'): void {
    for (const name of HEALTH_NAMES) this.health.setStatus(name, status);
  }
}
