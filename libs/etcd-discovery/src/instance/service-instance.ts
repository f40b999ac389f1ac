/** Who wrote an instance, that is, how its value in etcd was read. `static` instances come from the options. */
export type InstanceFormat =
  'native' | 'etcd-naming' | 'kratos' | 'kitex' | 'go-zero' | 'go-micro' | 'plain' | 'static';

export type EndpointProtocol = 'grpc' | 'tcp' | 'http';

/** One address an instance serves on. */
export interface InstanceEndpoint {
  readonly protocol: EndpointProtocol;
  readonly host: string;
  readonly port: number;
  /** TLS: the record says `grpcs://`. */
  readonly secure: boolean;
}

/**
 * One running process of a service, as the registry knows it. Instances are immutable: a change in etcd makes a new
 * object.
 */
export interface ServiceInstance {
  readonly id: string;
  readonly service: string;
  /** `host:port` of the preferred endpoint (gRPC first); IPv6 as `[::1]:50051`. */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  readonly endpoints: readonly InstanceEndpoint[];
  readonly version?: string;
  readonly zone?: string;
  /** Share of traffic among equals, 1–10000; 10 where the writer gave none. */
  readonly weight: number;
  /** Has no prototype and is frozen, because whoever writes to etcd chooses its keys. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: 'up' | 'draining';
  /** Vanished from etcd without a draining mark together with most of its service, and not yet proven dead. */
  readonly suspect: boolean;
  readonly registeredAt?: Date;
  readonly format: InstanceFormat;
  /** etcd revision at which the key was created; 0 for static instances. */
  readonly createRevision: number;
  /** etcd revision of the last write of the key; 0 for static instances. */
  readonly modRevision: number;
}

/** Weight of an instance whose writer gave none; Kitex uses the same number. */
export const DEFAULT_WEIGHT = 10;
