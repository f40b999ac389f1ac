import type { INestMicroservice } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { explainFailure } from '../../common/src/app-failure.js';
import { AppLogger } from '../../common/src/app-logger.js';
import { watchParent } from '../../common/src/parent-watch.js';
import { grpcServerOptions } from './grpc-server.options.js';
import { NotificationHealth } from './notification.health.js';
import { NotificationServerModule } from './notification-server.module.js';
import { listenAddress } from './notification-server.settings.js';

let addr: string | undefined;
let app: INestMicroservice | undefined;
watchParent();
try {
  app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(NotificationServerModule, {
    inject: [ConfigService, NotificationHealth],
    useFactory: (config: ConfigService, health: NotificationHealth) => {
      addr = listenAddress(config);
      return grpcServerOptions(addr, health);
    },
    logger: new AppLogger(),
    abortOnError: false,
  });
  app.enableShutdownHooks();
  await app.listen();
} catch (error) {
  const setting = 'notification-server.addr in config/notification-server.yaml, or NOTIFICATION_SERVER_ADDR';
  console.error(
    explainFailure('notification-server', error, addr === undefined ? undefined : { value: addr, setting }),
  );
  // Whatever was opened on the way is given back: no lease stays behind.
  await app?.close().catch(() => undefined);
  process.exit(1);
}
