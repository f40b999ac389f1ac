import { TestProcess } from '../test/support/child-process.js';
import { EtcdServer } from '../test/support/etcd-server.js';
import type { Benchmark } from './support/benchmark.js';
import { median, quantile } from './support/statistics.js';

const SERVER = 'dist/test/fixtures/lifecycle-app.js';
const CLIENT = 'dist/bench/start-client.js';

/** One fresh client process; milliseconds from its start to its first successful call. */
const firstCall = async (env: NodeJS.ProcessEnv): Promise<number> => {
  const client = TestProcess.node(CLIENT, [], env);
  try {
    const { afterMs } = await client.message<{ afterMs: number }>('first-call');
    await client.exit();
    return afterMs;
  } finally {
    await client.dispose();
  }
};

/** What discovery costs a starting process: the same client through etcd and with a static address, interleaved. */
export const startBenchmark: Benchmark = {
  name: 'start',
  summary: 'process start to first successful call, through etcd against a static address (difference ≤ 250 ms)',
  async run({ rounds = 15 }) {
    const etcd = await EtcdServer.start();
    const server = TestProcess.node(SERVER, ['micro'], { APP_ETCD: etcd.endpoint, APP_NAMESPACE: '/bench-start' });
    try {
      await server.message('listening');
      const stored = JSON.parse(
        (await etcd.etcdctl('get', '/bench-start/echo/', '--prefix', '--print-value-only')).trim(),
      ) as { Addr: string };
      const viaEtcd = { CLIENT_ETCD: etcd.endpoint, CLIENT_NAMESPACE: '/bench-start' };
      const viaAddress = { CLIENT_ADDRESS: stored.Addr };
      await firstCall(viaEtcd);
      await firstCall(viaAddress);
      const samples = { etcd: [] as number[], static: [] as number[] };
      for (let round = 1; round <= rounds; round++) {
        // The order alternates, so that a machine that slows down or speeds up favours neither.
        const pair = [
          () => firstCall(viaEtcd).then((ms) => samples.etcd.push(ms)),
          () => firstCall(viaAddress).then((ms) => samples.static.push(ms)),
        ];
        for (const measure of round % 2 === 0 ? pair : pair.toReversed()) await measure();
        console.log(
          `round ${round}/${rounds}: etcd ${samples.etcd.at(-1)!.toFixed(0)} ms, static ${samples.static.at(-1)!.toFixed(0)} ms`,
        );
      }
      const [withEtcd, withAddress] = [median(samples.etcd), median(samples.static)];
      console.log(
        `medians: etcd ${withEtcd.toFixed(0)} ms (p90 ${quantile(samples.etcd, 0.9).toFixed(0)}), ` +
          `static ${withAddress.toFixed(0)} ms (p90 ${quantile(samples.static, 0.9).toFixed(0)}), ratio ${(withEtcd / withAddress).toFixed(2)}`,
      );
      return {
        name: 'start',
        goals: [{ figure: withEtcd - withAddress, goal: 250, unit: 'ms', atMost: true }],
        details: { rounds, medianMs: { etcd: withEtcd, static: withAddress }, samplesMs: samples },
      };
    } finally {
      await server.dispose();
      await etcd.stop();
    }
  },
};
