/**
 * A client application that makes one call and ends: through etcd (CLIENT_ETCD) or to a static address
 * (CLIENT_ADDRESS). Tells its parent how long after the start of the process the call had succeeded.
 */
import 'reflect-metadata';
import { type DynamicModule, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientGrpc, ClientsModule, Transport } from '@nestjs/microservices';
import { resolve } from 'node:path';
import { type Observable, firstValueFrom } from 'rxjs';

const { CLIENT_ETCD, CLIENT_NAMESPACE, CLIENT_ADDRESS } = process.env;
const proto = { package: 'echo.v1', protoPath: resolve('test/fixtures/echo.proto') };

/** Loaded only where it is used: its weight is part of what is compared. */
const throughEtcd = async (): Promise<{ imports: DynamicModule[]; token: string | symbol }> => {
  const { EtcdDiscoveryModule, getGrpcClientToken } = await import('../libs/etcd-discovery/src/index.js');
  return {
    imports: [
      EtcdDiscoveryModule.forRoot({ namespace: CLIENT_NAMESPACE, etcd: { endpoints: CLIENT_ETCD ?? '' } }),
      EtcdDiscoveryModule.forFeature([{ service: 'echo', ...proto }]),
    ],
    token: getGrpcClientToken('echo'),
  };
};

const toAddress = (): { imports: DynamicModule[]; token: string | symbol } => ({
  imports: [
    ClientsModule.register([{ name: 'ECHO', transport: Transport.GRPC, options: { url: CLIENT_ADDRESS, ...proto } }]),
  ],
  token: 'ECHO',
});

const { imports, token } = CLIENT_ADDRESS ? toAddress() : await throughEtcd();

@Module({ imports })
class ClientModule {}

const app = await NestFactory.createApplicationContext(ClientModule, { logger: false });
const echo = app
  .get<ClientGrpc>(token, { strict: false })
  .getService<{ say(request: object): Observable<object> }>('Echo');
// The first call may come before the list of instances: a deadline bounds it, the resolver makes it wait.
await firstValueFrom(echo.say({ text: 'first' }));
process.send?.({ event: 'first-call', afterMs: performance.now() });
await app.close();
process.disconnect();
