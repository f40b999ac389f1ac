import { setMaxListeners } from 'node:events';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { NamespaceWatch } from './namespace-watch.js';
import type { NamespaceSubscription, ServiceSnapshot, WatchHealth } from './service-catalog.js';
import { waitUntil } from './wait-until.js';

/** One user's share in the watch of the namespace. */
export class NamespaceShare implements NamespaceSubscription {
  private readonly ended = new AbortController();
  private readonly undo = new Set<() => void>();

  constructor(
    private readonly watch: NamespaceWatch,
    private readonly all: () => ReadonlyMap<string, ServiceSnapshot>,
    private readonly giveBack: () => void,
  ) {
    // Everyone who waits for the first list listens to it; more than ten of them are no leak.
    setMaxListeners(0, this.ended.signal);
  }

  get snapshots(): ReadonlyMap<string, ServiceSnapshot> {
    return this.all();
  }

  get health(): WatchHealth {
    return this.watch.health;
  }

  onHealth(listener: (health: WatchHealth) => void): () => void {
    if (this.ended.signal.aborted) return () => {};
    const remove = this.watch.healthChanges.add(listener);
    const undo = () => {
      remove();
      this.undo.delete(undo);
    };
    this.undo.add(undo);
    return undo;
  }

  ready(signal?: AbortSignal): Promise<void> {
    return waitUntil(
      'waiting for the first list of the namespace',
      () => this.watch.answers,
      (notify) => this.watch.listings.add(notify),
      [this.ended.signal, signal],
    );
  }

  release(): void {
    this.end(new EtcdDiscoveryError('ABORTED', 'the share in the namespace was released'));
  }

  /** Ends the share with the error its waits reject with. */
  end(error: EtcdDiscoveryError): void {
    if (this.ended.signal.aborted) return;
    this.ended.abort(error);
    for (const undo of this.undo) undo();
    this.giveBack();
  }
}
