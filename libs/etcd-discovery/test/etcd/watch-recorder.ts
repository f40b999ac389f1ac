import type { EtcdHeader, WatchEnd, WatchEvent, WatchObserver } from '../../src/etcd/etcd-client.js';

/** An observer that keeps all it is told. */
export class WatchRecorder implements WatchObserver {
  readonly createdAt: EtcdHeader[] = [];
  readonly batches: (readonly WatchEvent[])[] = [];
  readonly ends: WatchEnd[] = [];

  created(header: EtcdHeader): void {
    this.createdAt.push(header);
  }

  events(events: readonly WatchEvent[]): void {
    this.batches.push(events);
  }

  end(end: WatchEnd): void {
    this.ends.push(end);
  }

  /** `put key` and `delete key`, in order. */
  get seen(): string[] {
    return this.batches.flat().map(({ type, key }) => `${type} ${key}`);
  }
}
