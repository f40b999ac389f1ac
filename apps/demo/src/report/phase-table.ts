import type { PhaseRecord } from '../model/phase-record.js';
import { type Column, formatMs, textTable } from './text-table.js';

const COLUMNS: readonly Column[] = [
  { title: 'phase', align: 'left' },
  { title: 'calls', align: 'right' },
  { title: 'failed', align: 'right' },
  { title: 'p50', align: 'right' },
  { title: 'p99', align: 'right' },
  { title: 'all clients knew after', align: 'right' },
];

/** What a run comes to: a line per phase. */
export function phaseTable(phases: readonly PhaseRecord[]): string[] {
  return textTable(
    COLUMNS,
    phases.map((phase) => [
      phase.title,
      String(phase.calls),
      String(phase.failed),
      formatMs(phase.latency.percentile(0.5)),
      formatMs(phase.latency.percentile(0.99)),
      phase.changeMs === 'missing' ? 'never' : formatMs(phase.changeMs),
    ]),
  );
}
