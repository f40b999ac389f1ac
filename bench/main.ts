/** `npm run bench -- <name> [--rounds N] [--quick] [--simulate] [--json FILE]`: each benchmark compares things within one run. */
import { parseArgs } from 'node:util';
import { convergeBenchmark } from './converge.bench.js';
import { footprintBenchmark } from './footprint.bench.js';
import { herdBenchmark } from './herd.bench.js';
import { recoveryBenchmark } from './recovery.bench.js';
import { scaleBenchmark } from './scale.bench.js';
import { startBenchmark } from './start.bench.js';
import { type Benchmark, report } from './support/benchmark.js';

const benchmarks: readonly Benchmark[] = [
  startBenchmark,
  convergeBenchmark,
  scaleBenchmark,
  recoveryBenchmark,
  footprintBenchmark,
  herdBenchmark,
];

const usage = () =>
  [
    'npm run bench -- <name> [--rounds N] [--quick] [--simulate] [--json FILE]',
    ...benchmarks.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`),
  ].join('\n');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean' },
    simulate: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
const chosen = benchmarks.find(({ name }) => name === positionals[0]);
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
if (values.help) console.log(usage());
else if (!chosen || (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))) {
  console.error(
    chosen
      ? `--rounds ${values.rounds}: expected a positive integer`
      : `no benchmark ${JSON.stringify(positionals[0] ?? '')}`,
  );
  console.error(usage());
  process.exitCode = 2;
} else await report(await chosen.run({ rounds, quick: values.quick, simulate: values.simulate }), values.json);
