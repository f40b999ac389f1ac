import type { ConnectivityGate } from '../etcd/etcd-client.js';
import { HEARTBEAT_MS } from '../etcd/watch-stream.js';
import type { Clock } from '../utils/clock.js';
import type { AttemptEnd } from './attempt-end.js';

/**
 * The time in which nothing was watched, and what can have happened in it. A gap is short when etcd could be asked
 * again within one heartbeat of the watch stream (3 s): the time in which a live stream shows a sign of life, too short
 * to restore an etcd in.
 */
export class WatchGap {
  private startedAt: number | undefined;
  private endedAt = 0;
  private doubtful = true;
  private broken = true;
  private readonly unsubscribe: () => void;

  constructor(
    private readonly gate: ConnectivityGate,
    private readonly clock: Clock,
  ) {
    this.unsubscribe = gate.onChange(({ open }) => {
      if (!open && this.startedAt !== undefined) this.broken = true;
    });
  }

  /** Whether a list may rely on what was known before the gap. */
  get short(): boolean {
    return this.startedAt !== undefined && !this.doubtful && this.endedAt - this.startedAt <= HEARTBEAT_MS;
  }

  /** Whether the connection has been the same all along, as far as its failures can be seen from here. */
  get unbroken(): boolean {
    return !this.broken;
  }

  /** A list was read; until it is watched from, the next gap begins here. */
  listed(): void {
    this.startedAt = this.clock.now();
    this.doubtful = false;
    this.broken = false;
  }

  /** Nothing is missed from here on. */
  watched(): void {
    this.startedAt = undefined;
  }

  /** The watch, or the attempt to list, is over. */
  ended({ kind, doubtful, broke }: AttemptEnd): void {
    this.startedAt ??= this.clock.now();
    if (doubtful) this.doubtful = true;
    if (broke || kind === 'lost' || !this.gate.state.open) this.broken = true;
  }

  /** Etcd can be asked again; what we wait after this, for others to go first, does not count. */
  answered(): void {
    this.endedAt = this.clock.now();
  }

  close(): void {
    this.unsubscribe();
  }
}
