import type { Figure } from './figure.js';
import type { RowContext } from './row-context.js';

/** One row of the fault matrix: a fault, injected for real, and the promises that hold while it lasts and after. */
export interface FaultRow {
  /** Number of the row in the matrix, or the promise's id for a figure that belongs to no single row. */
  readonly id: string;
  /** The fault and what must hold, in one line. */
  readonly title: string;
  /**
   * `seconds`: at most about 20 s in quick mode; CI runs it. `minutes`: only in the whole matrix. `soak`: only with
   * `--soak`.
   */
  readonly takes: 'seconds' | 'minutes' | 'soak';
  /** Bound of the whole row, ms. Default: three minutes. */
  readonly timeoutMs?: number;
  run(context: RowContext): Promise<void>;
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: 'holds' | 'missed' | 'failed' | 'not injected';
  readonly figures: readonly Figure[];
  /** Why it failed, or could not be injected. */
  readonly reason?: string;
  readonly seconds: number;
}
