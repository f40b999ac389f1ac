import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceMessage } from '../../../common/src/demo-messages.js';

export type ChangeKind = 'added' | 'removed';

/** A change that every client is to see: a server came or went. */
export interface TrackedChange {
  readonly kind: ChangeKind;
  readonly pid: number;
  /** Milliseconds from the change to the moment the last client had it; undefined while one is missing. */
  readonly tookMs: number | undefined;
}

interface Expected {
  readonly kind: ChangeKind;
  readonly pid: number;
  /** When it happened, milliseconds since 1970; for an instance that came, when it was registered. */
  since: number | undefined;
  readonly seenAt: Map<number, number>;
}

const POLL_MS = 20;

/** Follows how changes reach the clients. Servers are known by their process id, which their record carries. */
export class ChangeTracker {
  private readonly expected: Expected[] = [];

  constructor(private readonly clients: number) {}

  /** @param since when it happens; for an instance that comes, its record says when it was registered */
  expect(kind: ChangeKind, pid: number, since?: number): void {
    this.expected.push({ kind, pid, since, seenAt: new Map() });
  }

  /** A client says what it has seen. */
  seen(client: number, message: InstanceMessage): void {
    // `suspect` instances are still used: the client has not let go of them.
    if (message.change === 'updated') return;
    const change = this.expected.find(({ kind, pid }) => kind === message.change && pid === message.pid);
    if (change === undefined || change.seenAt.has(client)) return;
    change.since ??= message.registeredAt;
    change.seenAt.set(client, message.at);
  }

  /** Takes the changes expected since the last time: those of one phase. */
  take(): TrackedChange[] {
    return this.expected
      .splice(0)
      .map((change) => ({ kind: change.kind, pid: change.pid, tookMs: this.tookMs(change) }));
  }

  /**
   * Waits until every client has seen every expected change.
   *
   * @returns whether they have, within `withinMs`
   */
  async settled(withinMs: number, signal?: AbortSignal): Promise<boolean> {
    const until = performance.now() + withinMs;
    while (this.expected.some((change) => change.seenAt.size < this.clients)) {
      if (performance.now() > until) return false;
      await delay(POLL_MS, undefined, { signal });
    }
    return true;
  }

  private tookMs({ since, seenAt }: Expected): number | undefined {
    if (since === undefined || seenAt.size < this.clients) return undefined;
    // Clocks of one machine, but read in two processes and rounded to milliseconds.
    return Math.max(0, Math.max(...seenAt.values()) - since);
  }
}
