import type { InstanceEndpoint } from '../instance/service-instance.js';
import type { InstanceRecord } from '../instance/instance-record.js';

/**
 * Where a registration stands: `waiting → registering → registered ⇄ lost`, and from any of them `→ draining → stopped`.
 *
 * - `waiting`: etcd has not answered yet, or no lease has been granted.
 * - `registering`: the key is being written, or another process holds it (then `reason` names the holder).
 * - `registered`: the key is in etcd under our lease.
 * - `lost`: it was, and is not any more, or etcd has been silent for longer than the TTL. It comes back by itself.
 * - `draining`: leaving: the draining mark and the removal are on their way.
 * - `stopped`: left. `reason` is present when etcd could not be told; the key then ends with its lease.
 */
export type RegistrationStatus = 'waiting' | 'registering' | 'registered' | 'lost' | 'draining' | 'stopped';

/** An immutable snapshot of one registration, as `ServiceRegistry.state$` emits it. */
export type RegistrationState = Readonly<{
  /** The instance id. */
  id: string;
  service: string;
  state: RegistrationStatus;
  /** Why it is not (or not yet) `registered`; absent when there is nothing to explain. */
  reason?: string;
  /** When `state` was entered; a new `reason` alone does not move it. */
  since: Date;
}>;

/** What is to be registered. */
export interface RegistrationSpec {
  /** `service` and `id` follow the grammar of names, and are unique together within the process. */
  readonly record: Omit<InstanceRecord, 'registeredAt'>;
  /** Wanted TTL, ms, at least 2,000. The lease of the process takes the smallest of its registrations. */
  readonly ttlMs: number;
  /** An id held by another address fails `done` with `RegistrationConflictError` instead of being waited for. Default false. */
  readonly failFast?: boolean;
  /**
   * The id was chosen by the user and may exist twice. False for a generated one: whatever is found under such a key
   * is our own.
   */
  readonly idGiven: boolean;
}

/** What can change while registered. A field that is absent or undefined stays; `metadata` replaces the whole map. */
export interface RegistrationPatch {
  readonly weight?: number;
  readonly zone?: string;
  readonly version?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly endpoints?: readonly InstanceEndpoint[];
}

/** The answer to `register`. */
export interface RegistrationTicket {
  readonly id: string;
  /**
   * Resolves when the key is in etcd for the first time, however long that takes. Rejects with
   * `RegistrationConflictError` (only with `failFast`), or with code `ABORTED` / `CLOSED` when it
   * is deregistered or the registrar is closed before. Nobody has to listen to it.
   */
  readonly done: Promise<void>;
}
