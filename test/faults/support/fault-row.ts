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

/** The fault cannot be injected on this machine. Reported as such, never as a row that holds. */
export class NotInjectable extends Error {
  override readonly name = 'NotInjectable';
}

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export const figureHolds = ({ value, atMost, atLeast }: Figure): boolean =>
  !Number.isNaN(value) && (atMost === undefined || value <= atMost) && (atLeast === undefined || value >= atLeast);

const rounded = (value: number): string => String(Number.isInteger(value) ? value : Number(value.toPrecision(3)));

/** `name value unit`, with the bound, and a mark when it is missed. */
export const figureText = (figure: Figure): string => {
  const { name, value, unit, atMost, atLeast } = figure;
  const bounds = [
    ...(atMost === undefined ? [] : [`≤ ${rounded(atMost)}`]),
    ...(atLeast === undefined ? [] : [`≥ ${rounded(atLeast)}`]),
  ];
  const bound = bounds.length > 0 ? ` (${bounds.join(', ')})` : '';
  return `${name} ${rounded(value)}${unit ? ` ${unit}` : ''}${bound}${figureHolds(figure) ? '' : ' MISSED'}`;
};

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: 'holds' | 'missed' | 'failed' | 'not injected';
  readonly figures: readonly Figure[];
  /** Why it failed, or could not be injected. */
  readonly reason?: string;
  readonly seconds: number;
}
