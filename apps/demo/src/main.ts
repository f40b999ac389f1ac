import { writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { watchParent } from '../../common/src/parent-watch.js';
import { ArgumentsError, type DemoArguments, HELP, parseDemoArguments } from './arguments.js';
import { Demo } from './demo.js';
import { DemoModel } from './model/demo-model.js';
import { judge } from './model/verdict.js';
import { LiveView } from './report/live-view.js';
import { phaseTable } from './report/phase-table.js';
import { PlainView } from './report/plain-view.js';

const print = (line: string) => void process.stdout.write(`${line}\n`);

/** @returns the exit code */
async function main(args: DemoArguments): Promise<number> {
  const model = new DemoModel(() => performance.now());
  const view = process.stdout.isTTY ? new LiveView(model, process.stdout) : new PlainView(model, print);
  const abort = new AbortController();
  const demo = new Demo(args, model, abort.signal);
  let interrupted: NodeJS.Signals | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // The second one means it.
      if (interrupted !== undefined) process.exit(1);
      interrupted = signal;
      model.event(`${signal}: stopping clients, servers and etcd`);
      abort.abort();
    });
  }
  view.start();
  try {
    await demo.run();
  } catch (error) {
    if (interrupted === undefined) model.problem(error instanceof Error ? error.message : String(error));
  }
  await demo.stop();
  view.stop();
  const verdict = judge(model.phases, model.problems);
  print('');
  for (const line of phaseTable(model.phases)) print(line);
  print('');
  if (model.firstCallMs !== undefined)
    print(`First successful call ${(model.firstCallMs / 1_000).toFixed(1)} s after the start of the demo.`);
  if (args.json !== undefined) {
    await writeFile(args.json, `${JSON.stringify(results(args, model, demo), undefined, 2)}\n`);
  }
  // With --keep, Ctrl+C is the way to end; without, the run is not complete.
  if (interrupted !== undefined && model.phase?.name !== 'keep') {
    print(`Interrupted: not all phases were played. ${verdict.failed} of ${verdict.calls} calls failed.`);
    return 128 + constants.signals[interrupted];
  }
  for (const line of verdict.details) print(line);
  print(verdict.text);
  return verdict.ok ? 0 : 1;
}

function results(args: DemoArguments, model: DemoModel, demo: Demo) {
  const { ok, calls, failed, text, details } = judge(model.phases, model.problems);
  return {
    etcd: { kind: demo.etcdKind ?? null, description: model.etcdDescription },
    arguments: args,
    firstCallMs: model.firstCallMs ?? null,
    seconds: model.now() / 1_000,
    phases: model.phases,
    verdict: { ok, calls, failed, text, details },
  };
}

// A pipe that is closed is no reason to leave processes behind. (Those stop by themselves when the demo is gone.)
process.stdout.on('error', () => {});
watchParent();
try {
  const args = parseDemoArguments(process.argv.slice(2));
  if (args === 'help') print(HELP);
  else process.exitCode = await main(args);
} catch (error) {
  const expected = error instanceof ArgumentsError;
  process.stderr.write(`${expected ? `${error.message}\nTry --help.` : ((error as Error).stack ?? String(error))}\n`);
  process.exitCode = expected ? 2 : 1;
} finally {
  process.exit();
}
