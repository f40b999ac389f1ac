import type { DemoModel } from '../model/demo-model.js';
import { type Column, formatMs, textTable } from './text-table.js';

/** What matters most first: a narrow window cuts on the right. */
const COLUMNS: readonly Column[] = [
  { title: 'instance', align: 'left' },
  { title: 'calls/s', align: 'right' },
  { title: 'errors', align: 'right' },
  { title: 'address', align: 'left' },
  { title: 'zone', align: 'left' },
  { title: 'weight', align: 'right' },
  { title: 'lease', align: 'left' },
  { title: 'ttl', align: 'right' },
  { title: 'pid', align: 'right' },
];
/** One space between the columns up to the lease then fits them into 80. */
const WIDE = 100;

export const clock = (ms: number): string => {
  const seconds = (ms / 1_000) % 60;
  return `${Math.floor(ms / 60_000)}:${seconds.toFixed(1).padStart(4, '0')}`;
};

/** The live view at one moment, as lines of any length; what has to be read whole fits into `columns`. */
export function frame(model: DemoModel, eventLines: number, columns: number): string[] {
  const { phase, stored, totals } = model;
  const rows = (stored ?? []).map((instance) => [
    `${instance.id}${instance.status === 'up' ? '' : ` (${instance.status})`}`,
    model.callsPerSecond(instance.id).toFixed(0),
    String(model.errorsOf(instance.id)),
    instance.address,
    instance.zone,
    String(instance.weight),
    instance.lease,
    instance.leaseSecondsLeft === undefined ? '-' : `${instance.leaseSecondsLeft} s`,
    instance.pid === undefined ? '-' : String(instance.pid),
  ]);
  return [
    `etcd   ${model.etcdDescription}`,
    ...commandLines('look   ', model.etcdctl, columns),
    `phase  ${phase === undefined ? 'starting' : `${model.phases.length} of ${model.plannedPhases}, ${phase.title}`}   ${clock(model.now())}`,
    `calls  ${statusLine(model)}`,
    '',
    ...(stored === undefined
      ? ['etcd does not answer; calls go on']
      : textTable(COLUMNS, rows, columns < WIDE ? 1 : 2)),
    '',
    ...model.events.slice(-eventLines).map(({ atMs, text }) => `${clock(atMs)}  ${text.split('\n')[0]}`),
    ...(totals.failed > 0 ? ['', ...errorLines(model)] : []),
  ];
}

/** `200 calls/s, 4512 calls, 0 failed, p50 1.2 ms, p99 4.0 ms` */
export function statusLine(model: DemoModel): string {
  const { calls, failed, latency } = model.totals;
  return [
    `${model.callsPerSecond().toFixed(0)} calls/s`,
    `${calls} calls`,
    `${failed} failed`,
    `p50 ${formatMs(latency.percentile(0.5))}`,
    `p99 ${formatMs(latency.percentile(0.99))}`,
  ].join(', ');
}

/** A command to copy, broken at spaces the way a shell takes it. */
function commandLines(label: string, command: string, columns: number): string[] {
  const lines: string[] = [];
  let line = label;
  for (const word of command.split(' ')) {
    if (line.length + word.length + ' \\'.length >= columns && line.trim() !== label.trim() && line.trim() !== '') {
      lines.push(`${line}\\`);
      line = ' '.repeat(label.length);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

function errorLines(model: DemoModel): string[] {
  return model.phases
    .flatMap(({ title, errors }) => [...errors].map(([text, count]) => `${title}: ${count} × ${text}`))
    .slice(0, 5);
}
