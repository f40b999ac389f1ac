import { ReflectionService } from '@grpc/reflection';
import { type GrpcOptions, Transport } from '@nestjs/microservices';
import { notificationProto } from '../../common/src/project-root.js';
import { loaderOptions } from '../../common/src/notification.messages.js';
import type { NotificationHealth } from './notification.health.js';

/** The gRPC server: the notification service, `grpc.health.v1`, and reflection for `grpcurl` and its kind. */
export function grpcServerOptions(url: string, health: NotificationHealth): GrpcOptions {
  return {
    transport: Transport.GRPC,
    options: {
      url,
      ...notificationProto,
      loader: loaderOptions,
      // Nest's default cuts calls in flight when the server closes.
      gracefulShutdown: true,
      onLoadPackageDefinition: (definition, server) => {
        health.addTo(server);
        new ReflectionService(definition).addToServer(server);
      },
    },
  };
}
