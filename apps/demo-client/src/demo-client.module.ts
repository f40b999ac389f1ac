import { Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { EtcdDiscoveryModule, loadYamlConfig } from 'nestjs-etcd-discovery';
import { loaderOptions } from '../../common/src/notification.messages.js';
import { notificationProto } from '../../common/src/project-root.js';
import { DemoClientService } from './demo-client.service.js';
import { discoveryOptions, SERVICE } from './demo-client.settings.js';

@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, load: [loadYamlConfig('demo-client')] }),
    EtcdDiscoveryModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService) => discoveryOptions(config),
    }),
    EtcdDiscoveryModule.forFeature([{ service: SERVICE, ...notificationProto, loader: loaderOptions }]),
  ],
  providers: [DemoClientService],
})
export class DemoClientModule {}
