import { type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { type EtcdDiscoveryOptions, EtcdDiscoveryModule, ServiceRegistry } from 'nestjs-etcd-discovery';
import { eventually } from '../../support/child-process.js';
import { echoProtoPath } from '../../support/echo-client.js';
import { RecordedLog } from './fleet.js';
import type { RowContext } from './row-context.js';

/**
 * An application in this process with a gRPC server that listens and answers nothing: for rows that need to hold a
 * registration in their hands. Ended with the row.
 */
export class TestServer {
  private constructor(
    private readonly app: INestMicroservice,
    readonly registry: ServiceRegistry,
    readonly log: RecordedLog,
  ) {}

  /** Resolves when it listens, registered or not. @param options what differs from: the row's namespace, no registration */
  static async start(row: RowContext, options: Partial<EtcdDiscoveryOptions> & Pick<EtcdDiscoveryOptions, 'etcd'>) {
    @Module({ imports: [EtcdDiscoveryModule.forRoot({ namespace: row.namespace, ...options })] })
    class Server {}
    const log = new RecordedLog();
    const app = await NestFactory.createMicroservice<MicroserviceOptions>(Server, {
      transport: Transport.GRPC,
      options: { url: '127.0.0.1:0', package: 'echo.v1', protoPath: echoProtoPath },
      logger: log,
      abortOnError: false,
    });
    const server = new TestServer(app, app.get(ServiceRegistry, { strict: false }), log);
    row.defer(app, (open) => open.close());
    await app.listen();
    return server;
  }

  /** The state of the registration of `service`, with the reason if there is one: `registering etcd … is full`. */
  stateOf(service: string): string {
    const found = this.registry.registrations.find((registration) => registration.service === service);
    return found ? [found.state, found.reason].filter(Boolean).join(' ') : 'none';
  }

  /** Waits until the state of `service` reads like `pattern`. Resolves with how long that took, ms. */
  async reaches(service: string, pattern: RegExp, timeoutMs = 20_000): Promise<number> {
    const startedAt = performance.now();
    await eventually(
      `the registration of ${service} is ${pattern}`,
      () => pattern.test(this.stateOf(service)),
      timeoutMs,
      () => this.stateOf(service),
    );
    return performance.now() - startedAt;
  }
}
