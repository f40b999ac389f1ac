import type { Clock } from '../../src/utils/clock.js';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
  cancelled: boolean;
}

/**
 * Time for simulations: like the `FakeClock` of the tests, but with a heap, so that a hundred thousand timers that are
 * waiting cost nothing. Timers of the same moment fire in the order they were set.
 */
export class VirtualClock implements Clock {
  private time = 0;
  private order = 0;
  private readonly heap: Timer[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.time + Math.max(0, ms), order: this.order++, fn, cancelled: false };
    this.push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  /** Fires what falls due within `ms`, each at its own moment, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const target = this.time + ms;
    await settled();
    for (let next = this.heap[0]; next && next.at <= target; next = this.heap[0]) {
      this.time = next.at;
      while (this.heap[0]?.at === this.time) {
        const timer = this.pop();
        if (!timer.cancelled) timer.fn();
      }
      await settled();
    }
    this.time = target;
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) return;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  private pop(): Timer {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      if (left < heap.length && before(heap[left]!, heap[least]!)) least = left;
      if (right < heap.length && before(heap[right]!, heap[least]!)) least = right;
      if (least === at) return first;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
