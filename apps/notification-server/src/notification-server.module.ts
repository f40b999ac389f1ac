import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { EtcdDiscoveryModule, loadYamlConfig } from 'nestjs-etcd-discovery';
import { NotificationController } from './notification.controller.js';
import { NotificationHealth } from './notification.health.js';
import { NotificationStore } from './notification.store.js';
import { discoveryOptions, storeCapacity } from './notification-server.settings.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, load: [loadYamlConfig('notification-server')] }),
    EtcdDiscoveryModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService) => discoveryOptions(config),
    }),
  ],
  controllers: [NotificationController],
  providers: [
    {
      provide: NotificationStore,
      inject: [ConfigService],
      useFactory: (config: ConfigService) => new NotificationStore(storeCapacity(config)),
    },
    NotificationHealth,
  ],
})
export class NotificationServerModule {}
