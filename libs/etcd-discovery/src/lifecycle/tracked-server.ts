/** What an application server speaks, as a registration names it. */
export type ServerTransport = 'grpc' | 'tcp' | 'http';

/** Where a server really listens, port 0 resolved. */
export interface ServedAddress {
  readonly host: string;
  readonly port: number;
  /** The server asks for TLS. */
  readonly secure: boolean;
}

/** One server of the application, from before it is bound until it is closed. */
export interface TrackedServer {
  readonly transport: ServerTransport;
  /** Undefined until the server is bound. */
  readonly served: ServedAddress | undefined;
  /**
   * Refuses new work and resolves when the calls in flight have ended, or when `cut` aborts: then they are cut.
   * Idempotent; a server that was never bound is drained at once.
   */
  drain(cut: AbortSignal): Promise<void>;
}

/** What wants to know when a server opens and closes; both are awaited, so that the application waits for them. */
export interface ServerObserver {
  /** The server is bound and about to tell the application. A rejection fails the application's `listen()`. */
  bound(server: TrackedServer): Promise<void>;
  /** The application is about to close the server, which still serves. */
  closing(server: TrackedServer): Promise<void>;
}
