import type { ServiceInstance } from '../instance/service-instance.js';

/** A key under a service and what it says. */
export interface KnownKey {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Of the write that was read, with `lease` for comparison with a list of keys; both absent when not read from etcd. */
  readonly version?: number;
  /** Decimal lease id. */
  readonly lease?: string;
  /** Absent where the value could not be read. */
  readonly instance?: ServiceInstance;
  /** Why there is no instance. */
  readonly problem?: string;
}
