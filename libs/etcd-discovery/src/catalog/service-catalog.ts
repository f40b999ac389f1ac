import type { ServiceInstance } from '../instance/service-instance.js';
import type { SnapshotOrigin } from './last-known.js';

/** All that is known of one service at one moment. Immutable; a change makes a new snapshot. */
export interface ServiceSnapshot {
  readonly service: string;
  /** etcd revision up to which the snapshot is right; 0 for a service of static instances only. */
  readonly revision: number;
  /** Instances that may get calls: `up` ones, suspects included, sorted by id. */
  readonly instances: readonly ServiceInstance[];
  /** Where the suspects among them come from while etcd has never listed the service: `discovery.snapshotFile`. */
  readonly standIn?: SnapshotOrigin;
}

/**
 * One change of one instance. The stream of a service starts with its current instances as `added`; it never errors
 * because of etcd and completes when the module closes.
 */
export interface ServiceEvent {
  readonly type: 'added' | 'updated' | 'removed';
  readonly instance: ServiceInstance;
  /** What the instance was before, for `updated` and `removed`. */
  readonly previous?: ServiceInstance;
  /**
   * `drained`: it left on purpose. `expired`: its key vanished without a mark, or it was a suspect and proved dead.
   * `suspect`: its key vanished together with most of the service; it is still used. `recovered`: a suspect whose key is
   * back.
   */
  readonly reason?: 'drained' | 'expired' | 'suspect' | 'recovered';
  readonly revision: number;
}

export interface SnapshotChange {
  readonly snapshot: ServiceSnapshot;
  /** What led from the previous snapshot to this one; from nothing for the first. */
  readonly events: readonly ServiceEvent[];
}

/** Why there is no snapshot yet, or how old the one at hand is: for messages to people. */
export interface WatchHealth {
  /** `pending`: no list has succeeded yet. `live`: listed, and watched. `stale`: the last known state, etcd is away. */
  readonly state: 'pending' | 'live' | 'stale';
  /** What etcd said last, when it said no. */
  readonly error?: Error;
  readonly since: Date;
}

/** A share in the one watch of a service. Whoever acquires it releases it. */
export interface ServiceSubscription {
  readonly service: string;
  /**
   * Undefined until the first list is complete, or, for a service that has static addresses or instances in
   * `discovery.snapshotFile`, until the first list has failed (for the latter, or takes longer than 1 s): then they
   * alone are the snapshot, of revision 0, until etcd answers.
   */
  readonly snapshot: ServiceSnapshot | undefined;
  readonly health: WatchHealth;
  /**
   * Calls `listener` on every new snapshot, never synchronously from within `onChange`; not called for the snapshot that
   * is there already. A listener that throws is logged and hurts nobody else.
   */
  onChange(listener: (change: SnapshotChange) => void): () => void;
  /**
   * Calls `listener` whenever `health` changes: with it a waiting caller fails as soon as etcd refuses, instead of at
   * the end of its time. Same rules as `onChange`.
   */
  onHealth(listener: (health: WatchHealth) => void): () => void;
  /**
   * Resolves with the first snapshot; rejects when `signal` aborts, with CLOSED when the catalog closes, and with
   * ABORTED when the share is released.
   */
  ready(signal?: AbortSignal): Promise<ServiceSnapshot>;
  /** Gives the share back; the watch ends with its last share. Idempotent. */
  release(): void;
}

/** A share in the watch of the whole namespace. */
export interface NamespaceSubscription {
  /**
   * Resolves with the first list, or as soon as `discovery.snapshotFile` stands in for it; rejects as
   * `ServiceSubscription.ready` does.
   */
  ready(signal?: AbortSignal): Promise<void>;
  readonly health: WatchHealth;
  /** Calls `listener` whenever `health` changes. */
  onHealth(listener: (health: WatchHealth) => void): () => void;
  /** Every service that has an instance at this moment, by name; empty until `ready()`. */
  readonly snapshots: ReadonlyMap<string, ServiceSnapshot>;
  release(): void;
}

/** The read path: one watch per service and process, whatever the number of users. */
export interface ServiceCatalog {
  /** @throws EtcdDiscoveryError CLOSED after `close()`, INVALID_NAME for a name that cannot be a service. */
  acquire(service: string): ServiceSubscription;
  /** One watch of the namespace, which serves all services. */
  acquireNamespace(): NamespaceSubscription;
  /** The snapshot of a watched service, without I/O; undefined for one that is not watched or not yet listed. */
  peek(service: string): ServiceSnapshot | undefined;
  /** Calls `listener` once when the catalog closes. */
  onClose(listener: () => void): () => void;
  close(): Promise<void>;
}
