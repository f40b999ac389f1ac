/** What is used of a grpc-js `Server`; structural, because the application may bring its own copy of grpc-js. */
export interface RawGrpcServer {
  tryShutdown(callback: (error?: Error) => void): void;
  forceShutdown(): void;
  /** Private in grpc-js 1.10–1.14: the http2 servers behind `bindAsync`, the only place that knows the port of `:0`. */
  readonly http2Servers?: Map<{ address(): unknown; listening?: boolean }, unknown>;
}

/** The addresses a grpc-js server is bound to. */
export const boundAddresses = (server: RawGrpcServer): { host: string; port: number }[] =>
  [...(server.http2Servers?.keys() ?? [])]
    .map((http2Server) => http2Server.address())
    .filter((address): address is { address: string; port: number } => isInetAddress(address))
    .map(({ address, port }) => ({ host: address, port }));

const isInetAddress = (address: unknown): boolean =>
  typeof address === 'object' && address !== null && 'port' in address && 'address' in address;

/**
 * GOAWAY to every client, then waits for the calls in flight: grpc-js's `tryShutdown`, which alone would wait for the
 * life of an open stream. When `cut` aborts, what is left is cut by `forceShutdown` (its callers see CANCELLED).
 */
export const drainGrpcServer = (server: RawGrpcServer, cut: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const force = () => server.forceShutdown();
    const done = () => {
      cut.removeEventListener('abort', force);
      resolve();
    };
    server.tryShutdown(done);
    if (cut.aborted) force();
    else cut.addEventListener('abort', force, { once: true });
  });
