import type { Server as NetServer, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  type ClientUnaryCall,
  type GrpcObject,
  type ServiceError,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type Client,
  Metadata,
  Server,
  ServerCredentials,
  loadPackageDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export const ECHO_PROTO = fileURLToPath(new URL('./echo.proto', import.meta.url));

interface Request {
  text: string;
  delayMs: number;
}
export interface Reply {
  server: string;
  text: string;
}
type Handler = (call: ServerUnaryCall<Request, Reply>, callback: sendUnaryData<Reply>) => void;

export type EchoStub = Client & Record<'Get' | 'Add' | 'Follow' | 'Collect', (...args: unknown[]) => unknown>;

const definition = loadPackageDefinition(loadSync(ECHO_PROTO)) as unknown as { echo: { v1: GrpcObject } };
export const EchoClient = definition.echo.v1['Echo'] as unknown as {
  new (...args: ConstructorParameters<typeof Client>): EchoStub;
  service: ServiceDefinition;
};

/** A gRPC server on a loopback port that says who it is. */
export class EchoServer {
  calls = 0;
  streams = 0;
  /** Replaces the answer of unary calls. */
  answer: Handler | undefined;
  private readonly connections = new Set<string>();
  private readonly sockets = new Set<Socket>();
  private server = new Server();
  port = 0;

  private constructor(readonly id: string) {}

  static async start(id: string, port = 0): Promise<EchoServer> {
    const echo = new EchoServer(id);
    await echo.listen(port);
    return echo;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** How many connections calls came in on. */
  get peers(): number {
    return this.connections.size;
  }

  async listen(port: number): Promise<void> {
    this.server = new Server();
    const unary: Handler = (call, callback) => {
      this.calls++;
      this.connections.add(call.getPeer());
      if (this.answer) return this.answer(call, callback);
      const reply = { server: this.id, text: call.request.text };
      if (call.request.delayMs > 0) setTimeout(() => callback(null, reply), call.request.delayMs);
      else callback(null, reply);
    };
    this.server.addService(EchoClient.service, {
      Get: unary,
      Add: unary,
      Follow: (call: ServerWritableStream<Request, Reply>) => {
        this.streams++;
        call.sendMetadata(new Metadata());
        call.write({ server: this.id, text: call.request.text });
      },
      Collect: (call: { on(event: string, listener: (value: Request) => void): void }, done: sendUnaryData<Reply>) => {
        const texts: string[] = [];
        call.on('data', ({ text }) => texts.push(text));
        call.on('end', () => done(null, { server: this.id, text: texts.join(',') }));
      },
    });
    this.port = await new Promise<number>((resolve, reject) => {
      this.server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    // grpc-js cannot die without saying goodbye; its sockets can.
    const { http2Servers } = this.server as unknown as { http2Servers: Map<NetServer, unknown> };
    for (const listener of http2Servers.keys()) {
      listener.on('connection', (socket) => {
        this.sockets.add(socket);
        socket.on('close', () => this.sockets.delete(socket));
      });
    }
  }

  /** As `kill -9`: connections are cut without a word, the port refuses. */
  kill(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
    this.server.forceShutdown();
  }

  /** GOAWAY; resolves when the last call is done. */
  shutdown(): Promise<void> {
    return new Promise((resolve, reject) => this.server.tryShutdown((error) => (error ? reject(error) : resolve())));
  }
}

/** What a call failed with; `committed` when response headers had arrived, after which gRPC never retries. */
export type CallFailure = ServiceError & { committed: boolean };

/** One unary call of a plain grpc-js client; rejects with a `CallFailure`. */
export const callUnary = (
  client: EchoStub,
  method: 'Get' | 'Add' = 'Get',
  { text = '', delayMs = 0, metadata = new Metadata(), deadlineMs = 5_000 } = {},
): Promise<Reply> =>
  new Promise((resolve, reject) => {
    let committed = false;
    const done = (error: ServiceError | null, reply?: Reply) =>
      error ? reject(Object.assign(error, { committed })) : resolve(reply!);
    const call = client[method]({ text, delayMs }, metadata, { deadline: Date.now() + deadlineMs }, done);
    (call as ClientUnaryCall).on('metadata', () => (committed = true));
  });
