import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { explainFailure } from '../../common/src/app-failure.js';
import { AppLogger } from '../../common/src/app-logger.js';
import type { ClientCommand } from '../../common/src/demo-messages.js';
import { watchParent } from '../../common/src/parent-watch.js';
import { DemoClientModule } from './demo-client.module.js';
import { DemoClientService } from './demo-client.service.js';

let app: INestApplicationContext | undefined;
watchParent();
try {
  app = await NestFactory.createApplicationContext(DemoClientModule, { logger: new AppLogger(), abortOnError: false });
  app.enableShutdownHooks();
  const client = app.get(DemoClientService);
  process.on('message', (command: ClientCommand) => {
    if (command.type === 'phase') client.enter(command.name);
    if (command.type === 'stop') void client.stop().then(() => process.kill(process.pid, 'SIGTERM'));
  });
} catch (error) {
  console.error(explainFailure('demo-client', error));
  await app?.close().catch(() => undefined);
  process.exit(1);
}
