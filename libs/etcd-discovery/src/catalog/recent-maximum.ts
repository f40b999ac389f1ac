/** How long the most instances seen are remembered (promise P7). */
export const RECENT_MS = 300_000;

/**
 * The most of something in the last five minutes. Never modified: each step makes the next one.
 */
export interface RecentMaximum {
  /** What is there now, and has been since the last step. */
  readonly current: number;
  /** What was there before and may still be the most: later ones are smaller. */
  readonly past: readonly { readonly count: number; readonly until: number }[];
}

export const NOTHING_SEEN: RecentMaximum = { current: 0, past: [] };

/** From now on there are `count`. */
export const observe = (recent: RecentMaximum, count: number, now: number): RecentMaximum => {
  const { current, past } = recent;
  if (count === current) return recent;
  const least = Math.max(count, current);
  const kept = past.filter((sample) => sample.count > least && isRecent(sample.until, now));
  return { current: count, past: current > count ? [...kept, { count: current, until: now }] : kept };
};

/** Those that left on purpose are not missed: without them there would have been that many less all the time. */
export const forget = (recent: RecentMaximum, left: number): RecentMaximum =>
  left === 0
    ? recent
    : {
        current: Math.max(0, recent.current - left),
        past: recent.past.map(({ count, until }) => ({ count: Math.max(0, count - left), until })),
      };

/** The most there were at any moment of the last five minutes, the present included. */
export const most = ({ current, past }: RecentMaximum, now: number): number =>
  Math.max(current, past.find(({ until }) => isRecent(until, now))?.count ?? 0);

const isRecent = (until: number, now: number): boolean => now - until <= RECENT_MS;
