/**
 * Time as the engine sees it. Passed in, as in etcd's `cache/clock.go`, so that a test turns time by hand
 * and no wall-clock jump moves a lease.
 */
export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  now(): number;
  /** Calls `fn` once after `ms`; the returned function cancels. The timer never holds the process open. */
  after(ms: number, fn: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    // Waiting for etcd must not keep a process alive that has nothing else to do.
    timer.unref();
    return () => {
      // Node keeps the list of an unreferenced timer's duration until that has passed; with jitter each has its own.
      timer.ref();
      clearTimeout(timer);
    };
  },
};

/** A source of numbers in [0, 1), as `Math.random`; passed in so that schedules repeat by seed. */
export type Random = () => number;
