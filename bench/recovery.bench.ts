import { EtcdServer } from '../test/support/etcd-server.js';
import { KINDS, type Losses, measureLosses } from './recovery/losses.js';
import { measureOutage } from './recovery/outage.js';
import type { Benchmark } from './support/benchmark.js';
import { median, quantile } from './support/statistics.js';

const FULL = { losses: 200, applications: 1_000, ttlMs: 10_000 };
const QUICK = { losses: 20, applications: 100, ttlMs: 2_000 };

const line = ({ kind, rhythm, backAfterMs }: Losses): string => {
  const [p50, p99, max] = [median(backAfterMs), quantile(backAfterMs, 0.99), quantile(backAfterMs, 1)];
  const figures = [`p50 ${p50.toFixed(0)}`, `p99 ${p99.toFixed(0)}`, `max ${max.toFixed(0)} ms`].join(', ');
  return `${kind}, ${rhythm}, ${backAfterMs.length} times: back after ${figures}`;
};

/** How fast registrations come back by themselves: one by one, and all together after an outage. */
export const recoveryBenchmark: Benchmark = {
  name: 'recovery',
  summary:
    'lost leases and keys until they are back (p99 ≤ 2 s, max ≤ T/2), 1,000 applications after an outage (≤ 10 s)',
  async run({ rounds, quick = false }) {
    const { losses, applications, ttlMs } = quick ? QUICK : FULL;
    const count = rounds ?? losses;
    const etcd = await EtcdServer.start();
    let series: Losses[];
    try {
      const measured = KINDS.map((kind) => measureLosses(etcd.endpoint, kind, { count, ttl: `${ttlMs}ms` }));
      series = (await Promise.all(measured)).flat();
    } finally {
      await etcd.stop();
    }
    for (const one of series) console.log(line(one));
    const outage = await measureOutage(applications, ttlMs);
    console.log(
      `after ${outage.outageMs / 1_000} s without etcd: ${outage.expired} of ${outage.applications} keys expired within ${outage.lastExpiryMs.toFixed(0)} ms, ` +
        `p50 ${outage.quantilesMs.p50.toFixed(0)}, p99 ${outage.quantilesMs.p99.toFixed(0)}, all back after ${outage.allBackMs.toFixed(0)} ms; ` +
        `${outage.callsPerApplication.toFixed(1)} calls per application, at most ${outage.peakCallsPerSecond.toFixed(0)}/s, ` +
        `at most ${outage.peakPutsPer100Ms} keys put within 100 ms`,
    );
    const all = series.flatMap(({ backAfterMs }) => backAfterMs);
    return {
      name: 'recovery',
      goals: [
        { what: 'loss, p99', figure: quantile(all, 0.99), goal: 2_000, unit: 'ms', atMost: true },
        { what: 'loss, max', figure: quantile(all, 1), goal: ttlMs / 2, unit: 'ms', atMost: true },
        // An outage that cost nobody its lease would show nothing.
        { what: 'expired in the outage', figure: outage.expired / applications, goal: 0.9, unit: '', atMost: false },
        { what: 'all back after it', figure: outage.allBackMs / 1_000, goal: 10, unit: 's', atMost: true },
      ],
      details: { ttlMs, losses: series, outage },
    };
  },
};
