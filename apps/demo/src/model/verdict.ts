import type { PhaseRecord } from './phase-record.js';

export interface Verdict {
  readonly ok: boolean;
  readonly calls: number;
  readonly failed: number;
  /** One sentence. */
  readonly text: string;
  /** What else went wrong, and what the failed calls said. */
  readonly details: readonly string[];
}

/**
 * Good only if calls were made in every phase, none failed, every client had every change, and no process ended that was
 * not told to.
 */
export function judge(phases: readonly PhaseRecord[], problems: readonly string[]): Verdict {
  const calls = phases.reduce((sum, phase) => sum + phase.calls, 0);
  const failed = phases.reduce((sum, phase) => sum + phase.failed, 0);
  const silent = phases
    .filter((phase) => phase.calls === 0)
    .map((phase) => `no call was made in phase "${phase.title}"`);
  const missed = phases
    .filter((phase) => phase.changeMs === 'missing')
    .map((phase) => `a client never had a change of phase "${phase.title}"`);
  const errors = phases.flatMap((phase) =>
    [...phase.errors].map(([text, count]) => `${phase.title}: ${count} × ${text}`),
  );
  const other = [...(phases.length === 0 ? ['no phase was completed'] : []), ...silent, ...missed, ...problems];
  const ok = failed === 0 && other.length === 0;
  const count = calls.toLocaleString('en-US');
  const text = ok
    ? `0 of ${count} calls failed.`
    : failed > 0
      ? `${failed} of ${count} calls failed.`
      : `0 of ${count} calls failed, but not all went as it should.`;
  return { ok, calls, failed, text, details: [...other, ...errors] };
}
