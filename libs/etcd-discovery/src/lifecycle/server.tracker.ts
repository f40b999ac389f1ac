import type { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import type { Server as NetServer } from 'node:net';
import { type RawGrpcServer, boundAddresses, drainGrpcServer } from './grpc-server.drain.js';
import type { ServedAddress, ServerObserver, ServerTransport, TrackedServer } from './tracked-server.js';

/** `Transport.TCP` and `Transport.GRPC` of `@nestjs/microservices`, whose servers carry it as `transportId`. */
const TRANSPORT_IDS: Readonly<Record<number, ServerTransport>> = { 0: 'tcp', 4: 'grpc' };

type ListenCallback = (error?: unknown, ...rest: unknown[]) => void;

/** What is used of a Nest microservice server (`ServerGrpc`, `ServerTCP`). */
interface NestRpcServer {
  readonly transportId?: number | symbol;
  readonly options?: { readonly credentials?: { _isSecure?(): boolean }; readonly tlsOptions?: unknown };
  readonly grpcClient?: RawGrpcServer | null;
  readonly server?: NetServer;
  listen(callback: ListenCallback): unknown;
  close(): unknown;
}

/**
 * Finds the application's servers by itself and reports when each is bound and when it is about to close.
 *
 * Nest's hooks alone are wrong at both ends (they run before a microservice's port is open, and
 * `INestMicroservice.close()` closes the server before any hook), so `listen` and `close` of each server instance are
 * wrapped. Instances come from `ModulesContainer.getRpcTargetRegistry()`, which replays those created earlier.
 */
export class ServerTracker {
  readonly servers: TrackedServer[] = [];
  private readonly subscriptions: ({ unsubscribe(): void } | undefined)[] = [];
  private readonly adapters = new Set<unknown>();

  constructor(
    modules: ModulesContainer,
    httpAdapterHost: HttpAdapterHost | undefined,
    private readonly observer: ServerObserver,
  ) {
    this.subscriptions.push(modules.getRpcTargetRegistry<NestRpcServer>().subscribe((server) => this.trackRpc(server)));
    // A testing module makes its providers first and its HTTP adapter later.
    this.subscriptions.push(httpAdapterHost?.init$?.subscribe(() => this.trackHttp(httpAdapterHost.httpAdapter)));
    this.trackHttp(httpAdapterHost?.httpAdapter);
  }

  /** Forgets the application; wrapped servers keep working. */
  stop(): void {
    for (const subscription of this.subscriptions) subscription?.unsubscribe();
  }

  private trackRpc(server: NestRpcServer): void {
    const transport = typeof server.transportId === 'number' ? TRANSPORT_IDS[server.transportId] : undefined;
    if (!transport) return;
    const tracked = transport === 'grpc' ? new TrackedGrpcServer(server) : new TrackedTcpServer(server);
    this.servers.push(tracked);

    const listen = server.listen.bind(server);
    server.listen = (callback) =>
      listen((error, ...rest) => {
        if (error) callback(error, ...rest);
        else void this.opened(tracked, callback, [undefined, ...rest]);
      });
    const close = server.close.bind(server);
    server.close = async () => {
      await this.observer.closing(tracked);
      return close();
    };
  }

  /** The application hears of its server when the observer is done with it; a failure of ours fails its `listen()`. */
  private async opened(
    tracked: TrackedServer & { opened(): void },
    callback: ListenCallback,
    answer: unknown[],
  ): Promise<void> {
    tracked.opened();
    const failure = await this.observer.bound(tracked).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (failure) callback(failure.error);
    else callback(...answer);
  }

  private trackHttp(adapter: unknown): void {
    if (!isHttpAdapter(adapter) || this.adapters.has(adapter)) return;
    this.adapters.add(adapter);
    const tracked = new TrackedHttpServer(adapter);
    this.servers.push(tracked);
    const listen = adapter.listen.bind(adapter);
    adapter.listen = (...args: unknown[]) => {
      const callback = args.at(-1);
      if (typeof callback !== 'function') return listen(...args);
      const tell = callback as ListenCallback;
      const afterBound = (...rest: unknown[]) => {
        if (rest[0] instanceof Error) tell(...rest);
        else void this.opened(tracked, tell, rest);
      };
      return listen(...args.slice(0, -1), afterBound);
    };
  }
}

class TrackedGrpcServer implements TrackedServer {
  readonly transport = 'grpc';
  served: ServedAddress | undefined;
  private draining: Promise<void> | undefined;

  constructor(private readonly server: NestRpcServer) {}

  opened(): void {
    const raw = this.server.grpcClient;
    const [address] = raw ? boundAddresses(raw) : [];
    if (address) this.served = { ...address, secure: this.server.options?.credentials?._isSecure?.() === true };
  }

  drain(cut: AbortSignal): Promise<void> {
    const raw = this.server.grpcClient;
    if (!raw) return this.draining ?? Promise.resolve();
    return (this.draining ??= drainGrpcServer(raw, cut));
  }
}

class TrackedTcpServer implements TrackedServer {
  readonly transport = 'tcp';
  served: ServedAddress | undefined;

  constructor(private readonly server: NestRpcServer) {}

  opened(): void {
    this.served = netAddress(this.server.server, this.server.options?.tlsOptions !== undefined);
  }

  /** Nest's TCP server has no GOAWAY: clients have left during the propagation wait, `close()` ends the sockets. */
  drain(): Promise<void> {
    return Promise.resolve();
  }
}

/** What is used of a Nest HTTP adapter. */
interface HttpAdapterLike {
  listen(...args: unknown[]): unknown;
  getHttpServer(): NetServer;
}

const isHttpAdapter = (adapter: unknown): adapter is HttpAdapterLike =>
  typeof adapter === 'object' && adapter !== null && 'listen' in adapter && 'getHttpServer' in adapter;

class TrackedHttpServer implements TrackedServer {
  readonly transport = 'http';
  served: ServedAddress | undefined;

  constructor(private readonly adapter: HttpAdapterLike) {}

  opened(): void {
    const server = this.adapter.getHttpServer();
    this.served = netAddress(server, 'setSecureContext' in server);
  }

  /** Nest closes HTTP servers gracefully by itself, after every `onModuleDestroy`. */
  drain(): Promise<void> {
    return Promise.resolve();
  }
}

const netAddress = (server: NetServer | undefined, secure: boolean): ServedAddress | undefined => {
  const address = server?.address();
  // A string is a Unix socket, which no other machine can reach.
  return address && typeof address === 'object' ? { host: address.address, port: address.port, secure } : undefined;
};
