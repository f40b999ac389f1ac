/** Upper bound of the first bucket. Nothing on a network is faster. */
const FIRST_MS = 0.05;
/** Each bucket ends 5 % above the one before: a percentile is wrong by at most that much. */
const GROWTH = 1.05;
/** The last bucket begins at about two minutes and takes all above. */
const BUCKETS = 302;

/** Sparse form for a message: bucket number and count. */
export type HistogramData = readonly (readonly [bucket: number, count: number])[];

/** Latencies in milliseconds, in buckets that can be added up across processes and phases. */
export class LatencyHistogram {
  private readonly counts = new Uint32Array(BUCKETS);
  private total = 0;

  static from(data: HistogramData): LatencyHistogram {
    const histogram = new LatencyHistogram();
    histogram.add(data);
    return histogram;
  }

  get count(): number {
    return this.total;
  }

  record(ms: number): void {
    const bucket = ms <= FIRST_MS ? 0 : Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH));
    this.increase(Math.min(bucket, BUCKETS - 1), 1);
  }

  add(data: HistogramData): void {
    for (const [bucket, count] of data) this.increase(bucket, count);
  }

  /**
   * @param quantile 0.5 for the median, 0.99 for p99
   * @returns upper bound of the bucket that holds it, in milliseconds; undefined while nothing was recorded
   */
  percentile(quantile: number): number | undefined {
    if (this.total === 0) return undefined;
    const rank = Math.max(1, Math.ceil(quantile * this.total));
    let seen = 0;
    const bucket = this.counts.findIndex((count) => (seen += count) >= rank);
    return FIRST_MS * GROWTH ** bucket;
  }

  toData(): HistogramData {
    const data: [number, number][] = [];
    for (const [bucket, count] of this.counts.entries()) if (count > 0) data.push([bucket, count]);
    return data;
  }

  private increase(bucket: number, by: number): void {
    this.counts[bucket] = (this.counts[bucket] ?? 0) + by;
    this.total += by;
  }
}
