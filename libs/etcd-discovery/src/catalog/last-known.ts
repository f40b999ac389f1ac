import type { ServiceInstance } from '../instance/service-instance.js';

/** Where instances come from that no list of this process has shown. */
export interface SnapshotOrigin {
  readonly file: string;
  /** When etcd last stood by them. */
  readonly asOf: Date;
}

/** Instances that stand in for a list that etcd does not give: every one is a suspect. */
export interface StandIn extends SnapshotOrigin {
  /** By their key in etcd. */
  readonly instances: ReadonlyMap<string, ServiceInstance>;
}

/** What the catalog asks of a memory that outlives the process, and tells it. */
export interface LastKnown {
  /** Never rejects, and takes 2 s at the most: how long a failed first list waits for what can stand in for it. */
  readonly loaded: Promise<void>;
  /** Every service of which something is known. */
  services(): Iterable<string>;
  /** Undefined for a service of which nothing is known, or not yet. */
  of(service: string): StandIn | undefined;
  /** A list or a change from etcd led to these instances; `live`: a watch stands behind them. */
  learnt(service: string, instances: readonly ServiceInstance[], live: boolean): void;
  /** From now on a watch stands behind what was learnt, or does so no longer. */
  confirmed(service: string, live: boolean): void;
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
] as const;

/** `3 min old`, for people; `of the future` when the clock was set back since. */
export const ageOf = (asOf: Date, now = Date.now()): string => {
  const seconds = Math.round((now - asOf.getTime()) / 1_000);
  if (seconds < 0) return 'of the future';
  const [unit, length] = UNITS.find(([, size]) => seconds >= size) ?? UNITS[3];
  return `${Math.floor(seconds / length)} ${unit} old`;
};
