import type { ServiceEvent } from '../../libs/etcd-discovery/src/index.js';

interface Subscribable {
  subscribe(next: (event: ServiceEvent) => void): unknown;
}

/** Pushes per service: the events of one push come in one turn, so turns are counted. */
export class PushCounter {
  private readonly times = new Map<string, number[]>();
  private readonly inPush = new Set<string>();

  follow(service: string, events: Subscribable): void {
    this.times.set(service, []);
    events.subscribe(() => {
      if (this.inPush.size === 0) queueMicrotask(() => this.inPush.clear());
      if (this.inPush.has(service)) return;
      this.inPush.add(service);
      this.times.get(service)!.push(performance.now());
    });
  }

  /** Forgets what was counted so far. */
  reset(): void {
    for (const times of this.times.values()) times.length = 0;
  }

  /** Of all services, and of the one with most: over the whole time, and in its busiest second. */
  counts(): { all: number; busiest: number; busiestSecond: number } {
    const lists = [...this.times.values()];
    const busiest = lists.reduce((most, times) => (times.length > most.length ? times : most), []);
    const inSecond = (from: number) => busiest.filter((time) => time >= from && time < from + 1_000).length;
    return {
      all: lists.reduce((sum, times) => sum + times.length, 0),
      busiest: busiest.length,
      busiestSecond: Math.max(0, ...busiest.map(inSecond)),
    };
  }
}
