import type { Random } from '../utils/clock.js';
import type { PickCandidate, Picker, PickerFactory } from './picker.interface.js';
import { WeightedDraw } from './weighted-draw.js';

/** Latency decides only beyond this factor, or small steps of it would starve an equal instance. */
const LATENCY_FACTOR = 2;

/**
 * … and only beyond this difference, ms: among instances that answer within a millisecond, a factor of two is what the
 * scheduler of a busy machine makes of equals (measured: 1,249 of 3,000 calls to one of three equal instances).
 */
const LATENCY_NOISE_MS = 5;

/**
 * Share of picks that look at the calls in flight alone. An instance once seen as slow would otherwise never be asked
 * again and never be seen to have recovered; and whatever the latencies, no instance gets less than this part of what
 * it would get by calls in flight.
 */
const BLIND_SHARE = 0.25;

/**
 * `least_request`, the default: the power of two choices (Mitzenmacher 2001; Envoy and Finagle do the same). Two
 * candidates are drawn by weight, the one with fewer calls in flight per weight wins. Weights take part in the draw
 * because comparing (inFlight + 1) / weight alone starves light instances at low load (measured for 1:2:4: 0:237:463).
 */
class LeastRequestPicker implements Picker {
  private ready: readonly PickCandidate[] = [];
  private draw = new WeightedDraw([]);

  constructor(private readonly random: Random) {}

  update(ready: readonly PickCandidate[]): void {
    this.ready = ready;
    this.draw = new WeightedDraw(ready.map((candidate) => candidate.weight));
  }

  pick(): PickCandidate {
    const { ready, draw, random } = this;
    if (ready.length === 1) return ready[0]!;
    const first = draw.draw(random);
    const a = ready[first]!;
    const b = ready[draw.drawOther(first, random)]!;
    if (this.latencyTells(a, b) && random() >= BLIND_SHARE) {
      // Expected wait: what is in line before us, and ourselves, at the pace each has shown.
      return ((a.inFlight + 1) * a.ewmaMs) / a.weight <= ((b.inFlight + 1) * b.ewmaMs) / b.weight ? a : b;
    }
    return a.inFlight / a.weight <= b.inFlight / b.weight ? a : b;
  }

  private latencyTells(a: PickCandidate, b: PickCandidate): boolean {
    if (a.ewmaMs === 0 || b.ewmaMs === 0 || Math.abs(a.ewmaMs - b.ewmaMs) < LATENCY_NOISE_MS) return false;
    return a.ewmaMs > LATENCY_FACTOR * b.ewmaMs || b.ewmaMs > LATENCY_FACTOR * a.ewmaMs;
  }
}

export const createLeastRequestPicker: PickerFactory = (_config, random) => new LeastRequestPicker(random);
