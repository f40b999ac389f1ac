import type { PhaseReport } from '../../../common/src/demo-messages.js';
import { LatencyHistogram } from '../../../common/src/latency-histogram.js';
import type { StoredInstance } from '../etcd/etcd-view.js';
import { PhaseRecord } from './phase-record.js';
import { RateWindow } from './rate-window.js';

export interface DemoEvent {
  /** Since the start of the demo. */
  readonly atMs: number;
  readonly text: string;
}

const KEPT_EVENTS = 200;

/** All that is known of a run. The parts of the demo write it, the views show it. */
export class DemoModel {
  readonly phases: PhaseRecord[] = [];
  readonly events: DemoEvent[] = [];
  readonly problems: string[] = [];
  /** What etcd holds; undefined while it does not answer. */
  stored: readonly StoredInstance[] | undefined = [];
  etcdDescription = '';
  etcdctl = '';
  plannedPhases = 0;
  firstCallMs: number | undefined;
  private readonly rates = new RateWindow();
  private readonly errorsByInstance = new Map<string, number>();
  private readonly listeners = new Set<(event: DemoEvent) => void>();

  /** @param now milliseconds since the demo started */
  constructor(readonly now: () => number) {}

  get phase(): PhaseRecord | undefined {
    return this.phases.at(-1);
  }

  get totals(): { calls: number; failed: number; latency: LatencyHistogram } {
    const latency = new LatencyHistogram();
    for (const phase of this.phases) latency.add(phase.latency.toData());
    return {
      calls: this.phases.reduce((sum, { calls }) => sum + calls, 0),
      failed: this.phases.reduce((sum, { failed }) => sum + failed, 0),
      latency,
    };
  }

  begin(name: string, title: string): PhaseRecord {
    const phase = new PhaseRecord(name, title);
    this.phases.push(phase);
    this.event(`phase "${title}"`);
    return phase;
  }

  event(text: string): void {
    const event = { atMs: this.now(), text };
    this.events.push(event);
    this.events.splice(0, this.events.length - KEPT_EVENTS);
    for (const listener of this.listeners) listener(event);
  }

  problem(text: string): void {
    this.problems.push(text);
    this.event(text);
  }

  onEvent(listener: (event: DemoEvent) => void): void {
    this.listeners.add(listener);
  }

  /** Calls of a phase that is not known belong to the one that is on. */
  addReport(name: string, report: PhaseReport): void {
    (this.phases.find((phase) => phase.name === name) ?? this.phase)?.add(report);
    const at = this.now();
    this.rates.add('', report.calls, at);
    for (const [id, { calls, failed }] of Object.entries(report.instances)) {
      if (id === '') continue;
      this.rates.add(id, calls, at);
      if (failed > 0) this.errorsByInstance.set(id, (this.errorsByInstance.get(id) ?? 0) + failed);
    }
  }

  /** @param id of an instance; none means all calls */
  callsPerSecond(id = ''): number {
    return this.rates.perSecond(id, this.now());
  }

  errorsOf(id: string): number {
    return this.errorsByInstance.get(id) ?? 0;
  }
}
