import type { Clock } from '../../utils/clock.js';

/** Connections begun at once: calls of a service of ordinary size, and the first calls of any, wait for nothing. */
const AT_ONCE = 200;
/** Begun with each turn after that, ms and number: 10,000 connections begun together hold the event loop for 200 ms. */
const TURN_MS = 2;
const IN_A_TURN = 20;

/**
 * Begins the connections of a large service little by little. What waits is replaced with each list, so that an instance
 * that left meanwhile is never connected to.
 */
export class GradualStart<T> {
  private waiting: T[] = [];
  private next = 0;
  private cancelTurn: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly begin: (items: readonly T[]) => void,
  ) {}

  /** Some of the last list have not begun. */
  get isUnderWay(): boolean {
    return this.next < this.waiting.length;
  }

  /** Begins the first of these from within this call, and the others later; those of an earlier call are forgotten. */
  start(items: readonly T[]): void {
    this.stop();
    this.waiting = [...items];
    this.advance(AT_ONCE);
  }

  /** Forgets what has not begun. */
  stop(): void {
    this.cancelTurn?.();
    this.cancelTurn = undefined;
    this.waiting = [];
    this.next = 0;
  }

  private advance(count: number): void {
    const items = this.waiting.slice(this.next, this.next + count);
    this.next += items.length;
    if (this.isUnderWay) {
      this.cancelTurn = this.clock.after(TURN_MS, () => this.advance(IN_A_TURN));
    } else {
      this.cancelTurn = undefined;
      this.waiting = [];
      this.next = 0;
    }
    if (items.length > 0) this.begin(items);
  }
}
