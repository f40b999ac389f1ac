import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRow, RowResult } from './fault-row.js';
import { figureHolds, figureText } from './figure.js';
import { NotInjectable, RowContext, type RunMode } from './row-context.js';

const DEFAULT_TIMEOUT_MS = 180_000;
/** What undoing may take after a row that hangs, ms. */
const END_TIMEOUT_MS = 60_000;

/** Runs one row to its end, with everything it started undone. Never rejects. */
export const runRow = async (row: FaultRow, mode: RunMode): Promise<RowResult> => {
  const context = new RowContext(row.id, mode);
  const startedAt = performance.now();
  let failure: unknown;
  try {
    await withBound(row.run(context), row.timeoutMs ?? DEFAULT_TIMEOUT_MS, 'the row did not end');
  } catch (error) {
    failure = error;
  }
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  try {
    const [first] = await withBound(context.end(), END_TIMEOUT_MS, 'what the row started could not be stopped');
    failure ??= first;
  } catch (error) {
    failure ??= error;
  }
  const { figures } = context;
  const result = { id: row.id, title: row.title, figures, seconds };
  if (failure instanceof NotInjectable) return { ...result, outcome: 'not injected', reason: failure.message };
  if (failure !== undefined) return { ...result, outcome: 'failed', reason: textOf(failure) };
  // A row that shows no figure has shown nothing.
  if (figures.length === 0) return { ...result, outcome: 'failed', reason: 'the row measured nothing' };
  return { ...result, outcome: figures.every(figureHolds) ? 'holds' : 'missed' };
};

/** One line: outcome, row, figures and time. */
export const rowLine = ({ id, title, outcome, figures, reason, seconds }: RowResult): string => {
  const details = [...figures.map(figureText), ...(reason === undefined ? [] : [reason])];
  return `${outcome.padEnd(12)} row ${id.padEnd(3)} ${title} [${seconds} s]${details.length > 0 ? `: ${details.join('; ')}` : ''}`;
};

const withBound = async <T>(work: Promise<T>, ms: number, what: string): Promise<T> => {
  const timer = new AbortController();
  const late = delay(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} within ${ms / 1_000} s`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
    late.catch(() => {});
  }
};

const textOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
