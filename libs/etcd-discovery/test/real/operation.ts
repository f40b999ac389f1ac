/** What can be wrong on the way between a process and etcd, until it is mended. */
export type LinkFault =
  | 'freeze'
  | 'forget-open'
  | 'stop-reading'
  | 'cut'
  | 'refuse'
  | 'reset'
  | 'delay'
  | 'slow-read'
  | 'loss'
  | 'swallow'
  | 'garbage';

/**
 * One step of a schedule. `p` is a process, `s` a service, `i` an instance of it, `n` one of several, counted round. A
 * step that makes no sense where the world stands does nothing.
 */
export type RealOperation =
  | { readonly op: 'wait'; readonly ms: number }
  // Applications.
  | { readonly op: 'register'; readonly p: number; readonly s: number; readonly i: number }
  | { readonly op: 'deregister'; readonly p: number; readonly s: number; readonly i: number }
  | { readonly op: 'update'; readonly p: number; readonly s: number; readonly i: number; readonly weight: number }
  | { readonly op: 'subscribe'; readonly p: number; readonly s: number }
  | { readonly op: 'unsubscribe'; readonly p: number; readonly s: number }
  | { readonly op: 'namespace'; readonly p: number }
  | { readonly op: 'end-namespace'; readonly p: number }
  | { readonly op: 'crash'; readonly p: number }
  | { readonly op: 'start'; readonly p: number }
  // Others who write; `lease`: of ten minutes, of two seconds, or none.
  | {
      readonly op: 'put';
      readonly s: number;
      readonly i: number;
      readonly weight: number;
      readonly lease: 'long' | 'short' | 'none';
      readonly listens: boolean;
    }
  | { readonly op: 'burst'; readonly s: number; readonly count: number; readonly weight: number }
  | { readonly op: 'drain'; readonly s: number; readonly i: number }
  | { readonly op: 'corrupt'; readonly n: number }
  | { readonly op: 'plain'; readonly s: number; readonly there: boolean }
  | { readonly op: 'delete'; readonly n: number }
  | { readonly op: 'revoke'; readonly n: number }
  // The way of a process to etcd.
  | { readonly op: 'link'; readonly p: number; readonly what: LinkFault; readonly n: number }
  | { readonly op: 'mend'; readonly p: number };

/** One step in the life of the etcd that a batch of schedules shares. */
export type EtcdOperation =
  | { readonly op: 'wait'; readonly ms: number }
  | { readonly op: 'pause'; readonly ms: number }
  | { readonly op: 'kill'; readonly downMs: number }
  | { readonly op: 'compact' }
  | { readonly op: 'defrag' }
  | { readonly op: 'backup' }
  | { readonly op: 'restore'; readonly downMs: number }
  | { readonly op: 'wipe'; readonly downMs: number };

/** What does not change in the course of a schedule. */
export interface RealSetting {
  readonly seed: number;
  readonly processes: number;
  /** Ways to etcd of each process, as two endpoints. */
  readonly ways: number;
  /** Ids are the user's own, so that one may be held by somebody else. */
  readonly givenIds: boolean;
  /** What is wrong with the way to etcd while the processes close. */
  readonly closesDuring: LinkFault | undefined;
}

export interface RealSchedule {
  readonly setting: RealSetting;
  readonly operations: readonly RealOperation[];
}

/** `wait 300 ms`, `link p=1 what=freeze`: for people. */
export const describeStep = (step: RealOperation | EtcdOperation): string => {
  if (step.op === 'wait') return `wait ${step.ms} ms`;
  const { op, ...rest } = step;
  return [op, ...Object.entries(rest).map(([name, value]) => `${name}=${String(value)}`)].join(' ');
};
