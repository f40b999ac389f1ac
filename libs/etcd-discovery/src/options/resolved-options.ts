/** Options after validation: every default filled in, every duration in milliseconds, every key in camelCase. */
export interface ResolvedEtcdDiscoveryOptions {
  readonly name: string;
  readonly enabled: boolean;
  /** Starts with a slash and does not end with one. */
  readonly namespace: string;
  readonly failFast: boolean;
  readonly etcd: ResolvedEtcdOptions;
  readonly registrations: readonly ResolvedRegistration[];
  readonly shutdown: { readonly propagationWaitMs: number; readonly drainTimeoutMs: number };
  readonly discovery: ResolvedDiscoveryOptions;
  /** Told NOT_SERVING before the application leaves etcd. */
  readonly health?: { setStatus(service: string, status: 'NOT_SERVING'): void };
  readonly client: ResolvedClientDefaults;
  readonly services: Readonly<Record<string, Partial<ResolvedClientDefaults>>>;
}

export interface ResolvedEtcdOptions {
  /** `host:port`, without scheme. */
  readonly endpoints: readonly string[];
  readonly dialTimeoutMs: number;
  readonly username?: string;
  readonly password?: string;
  /** Present when the connection is encrypted, be it with default roots only. Strings are file paths. */
  readonly tls?: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly serverName?: string;
  };
}

export interface ResolvedRegistration {
  readonly name: string;
  /** `host:port` the application says it listens on; a port of 0 means whatever is bound. */
  readonly addr?: string;
  readonly transport: 'grpc' | 'tcp' | 'http';
  readonly id?: string;
  readonly advertise?: string;
  readonly version?: string;
  readonly zone?: string;
  readonly weight: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly ttlMs: number;
  readonly mirror: { readonly goZero?: string; readonly plain: boolean };
}

export interface ResolvedDiscoveryOptions {
  readonly resolveTimeoutMs: number;
  readonly suspectTimeoutMs: number;
  readonly snapshotFile?: string;
  /** Per service, `host:port` each. */
  readonly static: Readonly<Record<string, readonly string[]>>;
  readonly sources: readonly { readonly service: string; readonly prefix: string; readonly format: string }[];
  readonly plainKeys: boolean;
  readonly allowedCidrs?: readonly string[];
  /** Inclusive ranges. */
  readonly allowedPorts?: readonly { readonly from: number; readonly to: number }[];
  readonly allowLoopback?: boolean;
}

export interface ResolvedClientDefaults {
  readonly loadBalancing: { readonly policy: string; readonly [key: string]: unknown };
  readonly retry:
    | false
    | {
        readonly maxAttempts: number;
        readonly initialBackoffMs: number;
        readonly maxBackoffMs: number;
        readonly maxTokens: number;
      };
  readonly retryableMethods: readonly string[];
  readonly deadlineMs: number;
  readonly waitForReady: boolean;
  readonly keepalive: { readonly timeMs: number; readonly timeoutMs: number };
  readonly outlierDetection: false | Readonly<Record<string, unknown>>;
  readonly zone?: string;
}
