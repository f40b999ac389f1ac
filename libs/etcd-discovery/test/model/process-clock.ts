import type { Clock } from '../../src/utils/clock.js';

/** What a process is doing: `stopped` as by SIGSTOP, `dead` as by SIGKILL. */
export type ProcessMode = 'running' | 'stopped' | 'dead';

/** The time of one process: it stands still for its timers while the process is stopped, and ends with it. */
export class ProcessTime {
  private current: ProcessMode = 'running';
  private due: (() => void)[] = [];

  constructor(private readonly base: Clock) {}

  get mode(): ProcessMode {
    return this.current;
  }

  now(): number {
    return this.base.now();
  }

  stop(): void {
    if (this.current === 'running') this.current = 'stopped';
  }

  /** What fell due meanwhile happens now, in the order in which it fell due. */
  resume(): void {
    if (this.current !== 'stopped') return;
    this.current = 'running';
    for (const run of this.due.splice(0)) run();
  }

  kill(): void {
    this.current = 'dead';
    this.due = [];
  }

  /** Calls `fn` after `ms`, or when the process runs again, or never if it has been killed. */
  after(ms: number, fn: () => void): () => void {
    return this.base.after(ms, () => {
      if (this.current === 'stopped') this.due.push(fn);
      else if (this.current === 'running') fn();
    });
  }
}

/** One user's view of a process's time, which counts the timers that user has left behind. */
export class CountingClock implements Clock {
  private count = 0;

  constructor(private readonly time: ProcessTime) {}

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.count;
  }

  now(): number {
    return this.time.now();
  }

  after(ms: number, fn: () => void): () => void {
    let over = false;
    this.count += 1;
    const end = () => {
      if (over) return false;
      over = true;
      this.count -= 1;
      return true;
    };
    const cancel = this.time.after(ms, () => {
      if (end()) fn();
    });
    return () => {
      if (end()) cancel();
    };
  }
}
