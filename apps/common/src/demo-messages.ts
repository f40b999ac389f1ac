import type { HistogramData } from './latency-histogram.js';

/** What the demo client tells its parent over IPC, or standard output as JSON lines. Counts are since the last report. */
export type ClientMessage =
  | { readonly type: 'ready'; readonly pid: number }
  | { readonly type: 'first-call'; readonly at: number }
  | { readonly type: 'report'; readonly at: number; readonly phases: Readonly<Record<string, PhaseReport>> }
  | InstanceMessage
  | { readonly type: 'done' };

/** The client's list of instances changed. `at`: milliseconds since 1970. */
export interface InstanceMessage {
  readonly type: 'instance';
  readonly at: number;
  readonly change: 'added' | 'updated' | 'removed';
  readonly id: string;
  readonly address: string;
  /** Process of the instance, where it says so. */
  readonly pid?: number;
  readonly reason?: string;
  readonly registeredAt?: number;
}

/** Calls that were started in one phase and have ended since the last report. */
export interface PhaseReport {
  readonly calls: number;
  readonly failed: number;
  readonly latency: HistogramData;
  /** By instance id; `''` for a call that reached none, or nobody knows which. */
  readonly instances: Readonly<Record<string, { readonly calls: number; readonly failed: number }>>;
  readonly methods: Readonly<Record<string, { readonly calls: number; readonly failed: number }>>;
  /** What failed calls said, and how often. */
  readonly errors: Readonly<Record<string, number>>;
  /** Watch streams: opened, and notifications seen on them. */
  readonly watches: { readonly opened: number; readonly seen: number };
}

/** What the parent tells the demo client. */
export type ClientCommand =
  /** Calls from now on belong to this phase. */
  | { readonly type: 'phase'; readonly name: string }
  /** No new calls; report what is left, say `done`, and stop. */
  | { readonly type: 'stop' };
