import type { Fate, Refusal, RequestKind } from './faults.js';

/** What can be wrong with the watch stream of a process. */
export type StreamFault =
  | 'reset'
  | 'leader-lost'
  | 'cancel'
  | 'auth'
  | 'permission-denied'
  | 'compacted'
  | 'mute'
  | 'drop'
  | 'swap'
  | 'replay'
  | 'fragment'
  | 'lag';

/**
 * One step of a schedule. `p` is a process, `s` a service, `i` an instance of it, `n` one of several, counted round.
 * A step that makes no sense where the world stands does nothing, so that any part of a schedule is a schedule.
 */
export type Operation =
  | { readonly op: 'wait'; readonly ms: number }
  // Applications.
  | { readonly op: 'register'; readonly p: number; readonly s: number; readonly i: number; readonly host: number }
  | { readonly op: 'deregister'; readonly p: number; readonly s: number; readonly i: number }
  | { readonly op: 'update'; readonly p: number; readonly s: number; readonly i: number; readonly weight: number }
  | { readonly op: 'subscribe'; readonly p: number; readonly s: number }
  | { readonly op: 'unsubscribe'; readonly p: number; readonly s: number }
  | { readonly op: 'namespace'; readonly p: number }
  | { readonly op: 'end-namespace'; readonly p: number }
  | { readonly op: 'close'; readonly p: number }
  | { readonly op: 'crash'; readonly p: number }
  | { readonly op: 'start'; readonly p: number }
  | { readonly op: 'stop'; readonly p: number }
  | { readonly op: 'continue'; readonly p: number }
  // Others who write.
  | { readonly op: 'foreign-put'; readonly s: number; readonly i: number; readonly weight: number; readonly n: number }
  | { readonly op: 'foreign-delete'; readonly s: number; readonly i: number }
  | { readonly op: 'foreign-drain'; readonly s: number; readonly i: number }
  | { readonly op: 'corrupt'; readonly n: number }
  | { readonly op: 'plain'; readonly s: number; readonly there: boolean }
  | { readonly op: 'delete-key'; readonly n: number }
  | { readonly op: 'revoke-lease'; readonly n: number }
  | { readonly op: 'expire-all' }
  // etcd.
  | { readonly op: 'freeze' }
  | { readonly op: 'thaw' }
  | { readonly op: 'kill' }
  | { readonly op: 'restart' }
  | { readonly op: 'backup' }
  | { readonly op: 'restore'; readonly downMs: number }
  | { readonly op: 'restore-alike'; readonly s: number; readonly i: number; readonly downMs: number }
  | { readonly op: 'wipe'; readonly downMs: number }
  | { readonly op: 'compact' }
  | { readonly op: 'compact-while-listing' }
  | { readonly op: 'refuse'; readonly what: Refusal }
  | { readonly op: 'allow' }
  | { readonly op: 'lie' }
  | { readonly op: 'tell-truth' }
  // The network.
  | { readonly op: 'cut'; readonly p: number; readonly how: 'refused' | 'silent' }
  | { readonly op: 'heal'; readonly p: number }
  | { readonly op: 'slow'; readonly p: number; readonly ms: number }
  | { readonly op: 'stream'; readonly p: number; readonly what: StreamFault; readonly n: number }
  | { readonly op: 'fate'; readonly p: number; readonly kind: RequestKind; readonly what: Fate }
  | { readonly op: 'shut-gate'; readonly p: number };

/** What does not change in the course of a schedule. */
export interface Setting {
  /** Of every random choice outside the steps: jitter, latencies. */
  readonly seed: number;
  readonly processes: number;
  /** Keys in one answer of etcd. */
  readonly pageSize: number;
  /** Ids are the user's own, so that one may be held by somebody else. */
  readonly givenIds: boolean;
  /** Processes have channels to what they know; otherwise suspects are probed. */
  readonly channels: boolean;
  /** Raft term at the beginning: a cluster that was just restored has a low one, too. */
  readonly term: number;
}

export interface Schedule {
  readonly setting: Setting;
  readonly operations: readonly Operation[];
}

/** `wait 300 ms`, `cut p=1 how=silent`: for people. */
export const describeOperation = (operation: Operation): string => {
  if (operation.op === 'wait') return `wait ${operation.ms} ms`;
  const { op, ...rest } = operation;
  return [op, ...Object.entries(rest).map(([name, value]) => `${name}=${String(value)}`)].join(' ');
};

export const describeSchedule = ({ setting, operations }: Schedule): string[] => [
  `setting ${JSON.stringify(setting)}`,
  ...operations.map(describeOperation),
];
