import { ReflectionService } from '@grpc/reflection';
import { type GrpcOptions, Transport } from '@nestjs/microservices';
import type { HealthImplementation } from 'grpc-health-check';
import { notificationProto } from '../../common/src/project-root.js';
import { loaderOptions } from '../../common/src/notification.messages.js';

/** The gRPC server: the notification service, `grpc.health.v1`, and reflection for `grpcurl` and its kind. */
export function grpcServerOptions(url: string, health: HealthImplementation): GrpcOptions {
  return {
    transport: Transport.GRPC,
    options: {
      url,
      ...notificationProto,
      loader: loaderOptions,
      // Nest's default cuts calls in flight when the server closes.
      gracefulShutdown: true,
      onLoadPackageDefinition: (definition, server) => {
        health.addToServer(server);
        new ReflectionService(definition).addToServer(server);
      },
    },
  };
}
