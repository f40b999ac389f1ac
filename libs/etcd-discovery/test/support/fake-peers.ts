import type { ChannelState, ConnectionCheck, Probe } from '../../src/catalog/connection-check.js';

/** The servers behind the instances, as channels and probes find them: at first nobody listens anywhere. */
export class FakePeers implements ConnectionCheck {
  /** `host:port` of those that accept a connection; `hanging` ones never answer a probe. */
  readonly accepting = new Set<string>();
  readonly hanging = new Set<string>();
  /** Every address that was probed, in order. */
  readonly probed: string[] = [];
  /** Probes under way at once, at the most. */
  mostAtOnce = 0;
  private underWay = 0;
  private readonly channels = new Map<string, ChannelState>();
  private readonly listeners = new Set<(service: string, address: string) => void>();

  get listenerCount(): number {
    return this.listeners.size;
  }

  readonly probe: Probe = (host, port, signal) => {
    const address = `${host}:${port}`;
    this.probed.push(address);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.underWay);
    return new Promise<boolean>((resolve) => {
      const answer = (accepted: boolean) => {
        this.underWay -= 1;
        resolve(accepted);
      };
      if (this.hanging.has(address)) signal.addEventListener('abort', () => answer(true), { once: true });
      else setImmediate(() => answer(this.accepting.has(address)));
    });
  };

  stateOf(service: string, address: string): ChannelState | undefined {
    return this.channels.get(`${service}/${address}`);
  }

  onChange(listener: (service: string, address: string) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** A channel of this process comes to this state, or is closed. */
  channel(service: string, address: string, state: ChannelState | undefined): void {
    if (state) this.channels.set(`${service}/${address}`, state);
    else this.channels.delete(`${service}/${address}`);
    for (const listener of Array.from(this.listeners)) listener(service, address);
  }
}
