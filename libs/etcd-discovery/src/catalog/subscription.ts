import { setMaxListeners } from 'node:events';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { Listeners } from './listeners.js';
import type { ServiceSnapshot, ServiceSubscription, SnapshotChange, WatchHealth } from './service-catalog.js';
import { waitUntil } from './wait-until.js';

/** What a share is a share of. */
export interface Shared {
  readonly service: string;
  readonly snapshot: ServiceSnapshot | undefined;
  readonly health: WatchHealth;
  readonly changes: Listeners<[SnapshotChange]>;
  readonly healthChanges: Listeners<[WatchHealth]>;
}

/** The error of everything that is asked of a catalog after its end. */
export const closedError = (): EtcdDiscoveryError =>
  new EtcdDiscoveryError('CLOSED', 'the discovery connection is closed: the application is shutting down');

/** One user's share in a watch. */
export class Subscription implements ServiceSubscription {
  private readonly ended = new AbortController();
  private readonly undo = new Set<() => void>();

  constructor(
    private readonly shared: Shared,
    private readonly giveBack: (share: Subscription) => void,
  ) {
    // Everyone who waits for the first list listens to it; more than ten of them are no leak.
    setMaxListeners(0, this.ended.signal);
  }

  get service(): string {
    return this.shared.service;
  }

  get snapshot(): ServiceSnapshot | undefined {
    return this.shared.snapshot;
  }

  get health(): WatchHealth {
    return this.shared.health;
  }

  onChange(listener: (change: SnapshotChange) => void): () => void {
    return this.listen(this.shared.changes, listener);
  }

  onHealth(listener: (health: WatchHealth) => void): () => void {
    return this.listen(this.shared.healthChanges, listener);
  }

  async ready(signal?: AbortSignal): Promise<ServiceSnapshot> {
    const what = `waiting for the first list of service "${this.service}"`;
    const isDone = () => this.shared.snapshot !== undefined;
    await waitUntil(what, isDone, (notify) => this.onChange(notify), [this.ended.signal, signal]);
    return this.shared.snapshot as ServiceSnapshot;
  }

  release(): void {
    this.end(new EtcdDiscoveryError('ABORTED', `the share in service "${this.service}" was released`));
  }

  /** Ends the share with the error its waits reject with. */
  end(error: EtcdDiscoveryError): void {
    if (this.ended.signal.aborted) return;
    this.ended.abort(error);
    for (const undo of this.undo) undo();
    this.undo.clear();
    this.giveBack(this);
  }

  private listen<A extends unknown[]>(listeners: Listeners<A>, listener: (...args: A) => void): () => void {
    if (this.ended.signal.aborted) return () => {};
    const remove = listeners.add(listener);
    const undo = () => {
      remove();
      this.undo.delete(undo);
    };
    this.undo.add(undo);
    return undo;
  }
}
