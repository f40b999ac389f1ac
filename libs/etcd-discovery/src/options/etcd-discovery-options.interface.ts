/** Milliseconds as a number, or a string with a unit: `'500ms'`, `'5s'`, `'1m30s'`. */
export type Duration = number | string;

/** Options of `EtcdDiscoveryModule.forRoot`. Every key is also accepted in kebab-case (`dial-timeout`). */
export interface EtcdDiscoveryOptions {
  /** Connection name, for several etcd clusters in one process; clients reach it as `etcd://<name>/<service>`. Default `'default'`. */
  name?: string;
  /** `false`: no etcd at all, `discovery.static` only. Default `true`. */
  enabled?: boolean;
  /** Prefix of all keys. Default `'/services'`. */
  namespace?: string;
  /** `true`: the application does not start without etcd. `false` (default): it starts, says so, and catches up. */
  failFast?: boolean;
  etcd: EtcdOptions;
  /** What this application serves; absent in an application that only calls others. */
  registration?: Registration | Registration[];
  shutdown?: ShutdownOptions;
  discovery?: DiscoveryOptions;
  /**
   * The application's gRPC health implementation, told NOT_SERVING before the application leaves etcd;
   * `HealthImplementation` of `grpc-health-check` fits.
   */
  health?: { setStatus(service: string, status: 'NOT_SERVING'): void };
  /** Defaults for the clients of every service. */
  client?: ClientDefaults;
  /** Defaults for the clients of one service; they win over `client`. */
  services?: Record<string, ClientDefaults>;
}

export interface EtcdOptions {
  /** `host:port` or `http(s)://host:port`, one or several (a comma-separated string is split). */
  endpoints: string | string[];
  /** Longest wait for a connection at start. Default `'5s'`. etcd equivalent: `clientv3.Config.DialTimeout`. */
  dialTimeout?: Duration;
  username?: string;
  /** The empty string counts as unset. */
  password?: string;
  /** Strings are paths of PEM files, buffers their content. */
  tls?: { ca?: string | Buffer; cert?: string | Buffer; key?: string | Buffer; serverName?: string };
}

/** One service of this process. */
export interface Registration {
  /** Service name, `^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$`. */
  name: string;
  /** What the application listens on; never listened on by this library. */
  addr?: string;
  /** Which of the application's servers this is. Default `'grpc'`. */
  transport?: 'grpc' | 'tcp' | 'http';
  /** Instance id. Default: unique per start of the process. */
  id?: string;
  /** `host` or `host:port` that others connect to, where it differs from what can be found out (NAT, container). */
  advertise?: string;
  version?: string;
  zone?: string;
  /** Share of traffic, integer 1–10000. Default 10. */
  weight?: number;
  metadata?: Record<string, string>;
  /** Lease time to live, at least `'2s'`. Default `'10s'`: how long a crashed instance stays listed. */
  ttl?: Duration;
  /** Second keys for readers of other stacks. */
  mirror?: { goZero?: string; plain?: boolean };
}

export interface ShutdownOptions {
  /** How long the server goes on accepting calls after it left etcd, so that clients see it first. Default `'1s'`. */
  propagationWait?: Duration;
  /** How long calls and streams in flight may take before they are cut. Default `'10s'`. */
  drainTimeout?: Duration;
}

export interface DiscoveryOptions {
  /** Longest wait for the first list of a service. Default `'5s'`. */
  resolveTimeout?: Duration;
  /**
   * Longest use of an instance whose key vanished together with most of its service, and that no connection has proved
   * dead. Default `'5m'`.
   */
  suspectTimeout?: Duration;
  /**
   * File that keeps the last known instances, for a start while etcd is away; relative paths start at the working
   * directory. Until etcd answers, its instances (of at most a week ago) are used as suspects; the first list from etcd
   * replaces them. Written with mode 600, a second after a change, at most every 10 s, and at close. One file per
   * application and connection. Default: none.
   */
  snapshotFile?: string;
  /** Addresses per service, used beside etcd, or alone with `enabled: false`. */
  static?: Record<string, string[]>;
  /** Prefixes of other stacks to read a service from. */
  sources?: Source[];
  /** Read the plain value at `<namespace>/<service>` too. Default `true`. */
  plainKeys?: boolean;
  /** Only addresses inside these networks are called. */
  allowedCidrs?: string[];
  /** Only these ports (`8080`, `'50000-50100'`) are called. */
  allowedPorts?: (number | string)[];
  /** Accept loopback addresses from etcd. Default: only when etcd is on loopback too. */
  allowLoopback?: boolean;
}

/** Where instances written by another stack are found. */
export interface Source {
  service: string;
  prefix: string;
  format: 'etcd-naming' | 'kratos' | 'kitex' | 'go-zero' | 'go-micro' | 'plain';
}

export type LoadBalancing =
  | 'least_request'
  | 'round_robin'
  | 'random'
  | 'weighted_round_robin'
  | 'consistent_hash'
  | { policy: string; [key: string]: unknown };

/** How calls to a service behave. */
export interface ClientDefaults {
  /** Default `'least_request'`. gRPC equivalent: `loadBalancingConfig` (gRFC A24). */
  loadBalancing?: LoadBalancing;
  /** Retry on UNAVAILABLE. Defaults: 4 attempts, 20 ms to 500 ms, 1,000 tokens. gRPC equivalent: `retryPolicy` (gRFC A6). */
  retry?: false | { maxAttempts?: number; initialBackoff?: Duration; maxBackoff?: Duration; maxTokens?: number };
  /** `'Service/Method'` or `'Service/*'`, added to the methods whose proto declares them idempotent. */
  retryableMethods?: string[];
  /** Deadline of a unary call that has none. Default `'10s'`; `0` = none. */
  deadline?: Duration;
  /** Wait for an instance instead of failing at once when there is none. Default `false`. */
  waitForReady?: boolean;
  /** HTTP/2 pings on an open connection. Defaults: every `'30s'`, answer within `'5s'`. */
  keepalive?: { time?: Duration; timeout?: Duration };
  /** Take instances out of rotation that fail far more than the others. */
  outlierDetection?: false | object;
  /** Prefer instances of this zone. */
  zone?: string;
}
