import type { ServiceInstance } from '../instance/service-instance.js';
import type { Random } from '../utils/clock.js';

/**
 * One instance that can be picked, with what its client knows of it. The object lives as long as the client uses the
 * address, and its fields move: a picker reads them at the moment of the pick.
 */
export interface PickCandidate {
  /** The instance id; pickers key their state by it, so that it survives every change of the list. */
  readonly id: string;
  readonly instance: ServiceInstance;
  /** Share of traffic among equals, greater than 0. */
  readonly weight: number;
  readonly zone?: string;
  /** Calls of this client that the instance has not answered yet. */
  readonly inFlight: number;
  /** Moving average of the time to answer, ms; 0 while nothing is known. */
  readonly ewmaMs: number;
}

/** The call a pick is made for. Valid during `pick` only. */
export interface PickRequest {
  /** First value of a metadata header (names are lower case), undefined when the call carries none. */
  header(name: string): string | undefined;
  /** The metadata object of the transport, for keys that are computed by a function. */
  readonly metadata?: unknown;
}

/**
 * Chooses one of the candidates for each call. One picker serves one client and lives as long as its policy: `update`
 * tells it of every change, and what it remembers by `id` goes on.
 */
export interface Picker {
  /**
   * The set changed, or weight, zone or metadata of a candidate did.
   * @param ready candidates with a usable connection, never empty, in a stable order
   * @param all every known candidate, `ready` included; what is computed per set (a hash ring) belongs to these,
   *     or each lost connection would reshuffle it
   */
  update(ready: readonly PickCandidate[], all: readonly PickCandidate[]): void;
  /** One of the `ready` candidates of the last `update`. Called for every attempt of every call; never throws. */
  pick(request: PickRequest): PickCandidate;
}

/** The `loadBalancing` option in its object form: the policy's name and whatever the policy understands. */
export interface PolicyConfig {
  readonly policy: string;
  /** Prefer instances of this zone. */
  readonly zone?: string;
  readonly [key: string]: unknown;
}

export type PickerFactory = (config: PolicyConfig, random: Random) => Picker;
