import type { ConnectivityGate, GateState } from '../../src/etcd/etcd-client.js';

/** Opens and shuts at a test's word. */
export class FakeGate implements ConnectivityGate {
  private current: GateState = { open: true, since: new Date(0) };
  private readonly listeners = new Set<(state: GateState) => void>();

  get state(): GateState {
    return this.current;
  }

  get listenerCount(): number {
    return this.listeners.size;
  }

  set(open: boolean, error?: Error): void {
    this.current = { open, error, since: new Date() };
    for (const listener of Array.from(this.listeners)) listener(this.current);
  }

  whenOpen(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (this.current.open || signal?.aborted) return resolve();
      const done = () => {
        off();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const off = this.onChange((state) => state.open && done());
      signal?.addEventListener('abort', done);
    });
  }

  onChange(listener: (state: GateState) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
