import { randomUUID } from 'node:crypto';
import type { Figure } from './figure.js';

/** The fault cannot be injected on this machine. Reported as such, never as a row that holds. */
export class NotInjectable extends Error {
  override readonly name = 'NotInjectable';
}

export interface RunMode {
  /** Short leases and short outages, for CI: the promises' numbers scale with the TTL. */
  readonly quick: boolean;
  /** The rows that need ten minutes, and the hundredfold ones. */
  readonly soak: boolean;
}

const QUICK_ROOM = 1.5;

type Bound = { readonly atMost?: number; readonly atLeast?: number };

/** What a row gets: its mode, a place for its figures, and an end that undoes everything it has started. */
export class RowContext {
  readonly quick: boolean;
  readonly soak: boolean;
  /** Differs from row to row and from run to run. */
  readonly name: string;
  /** A namespace of its own in etcd, without a slash at the end. */
  readonly namespace: string;
  readonly figures: Figure[] = [];
  private readonly undo: (() => unknown)[] = [];

  constructor(row: string, mode: RunMode) {
    this.quick = mode.quick;
    this.soak = mode.soak;
    this.name = `row-${row.toLowerCase()}-${randomUUID().slice(0, 8)}`;
    this.namespace = `/${this.name}`;
  }

  /** The TTL of leases in this run, ms: the default of 10 s, or 3 s in quick mode. */
  get ttlMs(): number {
    return this.quick ? 3_000 : 10_000;
  }

  /**
   * Notes a figure; with a bound, the row holds only if the figure keeps it. In quick mode a bound in ms is given half
   * as much again, because CI's machine is shared; it is shown with that. Returns the value.
   */
  figure(name: string, value: number, unit = '', bound: Bound = {}): number {
    const { atMost } = bound;
    const room = this.quick && unit === 'ms' && atMost !== undefined;
    this.figures.push({ name, value, unit, ...bound, ...(room && { atMost: atMost * QUICK_ROOM }) });
    return value;
  }

  /** Undone at the end of the row, last first, whatever became of it. Returns what it was given. */
  defer<T>(resource: T, undo: (resource: T) => unknown): T {
    this.undo.push(() => undo(resource));
    return resource;
  }

  /** @throws NotInjectable */
  notInjectable(reason: string): never {
    throw new NotInjectable(reason);
  }

  /** Undoes everything; reports what could not be undone. */
  async end(): Promise<readonly Error[]> {
    const errors: Error[] = [];
    for (const undo of this.undo.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        errors.push(error instanceof Error ? error : new Error(String(error)));
      }
    }
    return errors;
  }
}
