import { type Client, type ServiceError, credentials, loadPackageDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { repositoryRoot } from './child-process.js';

export const echoProtoPath = join(repositoryRoot, 'test', 'fixtures', 'echo.proto');

export interface EchoReply {
  text: string;
  servedBy: string;
}

export interface EchoClient extends Client {
  say(
    request: { text: string; delayMs?: number },
    options: { deadline: number },
    callback: (error: ServiceError | null, reply: EchoReply) => void,
  ): void;
  stream(request: { text: string }): import('@grpc/grpc-js').ClientReadableStream<EchoReply>;
}

type EchoClientConstructor = new (
  target: string,
  creds: ReturnType<typeof credentials.createInsecure>,
  options?: object,
) => EchoClient;

/** The plain grpc-js client of `echo.v1.Echo`. */
export const Echo = (
  loadPackageDefinition(loadSync(echoProtoPath, { defaults: true })) as unknown as {
    echo: { v1: { Echo: EchoClientConstructor } };
  }
).echo.v1.Echo;

export const echoClient = (target: string, options?: object): EchoClient =>
  new Echo(target, credentials.createInsecure(), options);

export const say = (client: EchoClient, text: string, delayMs = 0, deadlineMs = 5_000): Promise<EchoReply> =>
  new Promise((resolve, reject) =>
    client.say({ text, delayMs }, { deadline: Date.now() + deadlineMs }, (error, reply) =>
      error ? reject(error) : resolve(reply),
    ),
  );

export interface LoadResult {
  calls: number;
  failures: string[];
  perInstance: Map<string, number>;
}

/** Calls at a steady rate, whatever the answers take, until it is stopped. */
export class SteadyLoad {
  private readonly result: LoadResult = { calls: 0, failures: [], perInstance: new Map() };
  private readonly pending = new Set<Promise<void>>();
  private stopped = false;
  private readonly loop: Promise<void>;

  constructor(
    private readonly call: (text: string) => Promise<EchoReply>,
    perSecond: number,
  ) {
    this.loop = this.run(1_000 / perSecond);
  }

  get calls(): number {
    return this.result.calls;
  }

  async stop(): Promise<LoadResult> {
    this.stopped = true;
    await this.loop;
    await Promise.all(this.pending);
    return this.result;
  }

  private async run(everyMs: number): Promise<void> {
    for (let due = performance.now(); !this.stopped; due += everyMs) {
      const wait = due - performance.now();
      if (wait > 0) await delay(wait);
      const one = this.once(String(this.result.calls++));
      this.pending.add(one);
      void one.finally(() => this.pending.delete(one));
    }
  }

  private async once(text: string): Promise<void> {
    try {
      const { servedBy } = await this.call(text);
      this.result.perInstance.set(servedBy, (this.result.perInstance.get(servedBy) ?? 0) + 1);
    } catch (error) {
      const { code, message } = error as ServiceError;
      this.result.failures.push(`${status[code] ?? code}: ${message}`);
    }
  }
}
