import type { ServiceInstance } from '../instance/service-instance.js';
import type { Clock, Random } from '../utils/clock.js';
import type { ConnectionCheck, Probe } from './connection-check.js';
import { ProbeQueue } from './probe-queue.js';

/** A suspect without a ready channel is probed this often, ±25 %. */
const PROBE_EVERY_MS = 3_000;
const PROBE_JITTER = 0.25;
/** A connection that was ready and broke may come back within this time; a peer that hangs accepts and says nothing. */
const RECONNECT_MS = 1_000;

export interface SuspectChecksDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly connections: ConnectionCheck;
  readonly probe: Probe;
  /** Longest time an instance stays suspect. */
  readonly timeoutMs: number;
}

/** Why a suspect is let go. */
export type DeadReason = 'failed' | 'lost' | 'refused' | 'timeout';

const addressKey = (service: string, address: string): string => `${service}/${address}`;

/**
 * Finds out which suspects are dead: one whose connection fails from now on, or breaks and is not back within a second;
 * one without a ready channel that nobody answers for (TCP, 1 s, at once and every few seconds); and every one when its
 * time is over. A failure from before does not count, because it may be as old as the trouble that made the suspect:
 * the address is asked anew.
 */
export class SuspectChecks {
  private readonly probes: ProbeQueue;
  private readonly checks = new Map<string, Set<SuspectCheck>>();
  private stopListening: (() => void) | undefined;

  constructor(private readonly deps: SuspectChecksDeps) {
    this.probes = new ProbeQueue(deps.probe);
  }

  /**
   * Calls `dead` at most once and never from within; the returned function ends the check.
   *
   * @param timeoutMs longest time the instance stays suspect
   */
  begin(
    instance: ServiceInstance,
    dead: (reason: DeadReason) => void,
    timeoutMs: number = this.deps.timeoutMs,
  ): () => void {
    const key = addressKey(instance.service, instance.address);
    const { connections } = this.deps;
    this.stopListening ??= connections.onChange((service, address) => this.changed(addressKey(service, address)));
    const members = this.checks.get(key) ?? new Set();
    const end = () => {
      check.stop();
      members.delete(check);
      if (members.size === 0 && this.checks.get(key) === members) this.checks.delete(key);
      if (this.checks.size > 0) return;
      this.stopListening?.();
      this.stopListening = undefined;
    };
    const check = new SuspectCheck(instance, { ...this.deps, timeoutMs }, this.probes, (reason) => {
      end();
      dead(reason);
    });
    this.checks.set(key, members.add(check));
    check.start();
    return end;
  }

  private changed(key: string): void {
    const members = this.checks.get(key);
    // Channels report from within what a new list sets off; a drop makes the next list.
    if (members) queueMicrotask(() => [...members].forEach((check) => check.onChange()));
  }
}

class SuspectCheck {
  private readonly stopping = new AbortController();
  private readonly since: number;
  private wasReady = false;
  private probing = false;
  private cancelTick: (() => void) | undefined;
  private cancelLost: (() => void) | undefined;

  constructor(
    private readonly instance: ServiceInstance,
    private readonly deps: SuspectChecksDeps,
    private readonly probes: ProbeQueue,
    private readonly dead: (reason: DeadReason) => void,
  ) {
    this.since = deps.clock.now();
  }

  start(): void {
    this.scheduleTick(0);
  }

  stop(): void {
    this.stopping.abort();
    this.cancelTick?.();
    this.cancelLost?.();
  }

  /** A channel's connection to the address changed. */
  onChange(): void {
    if (this.stopping.signal.aborted) return;
    const { state } = this;
    if (state === 'ready') {
      this.wasReady = true;
      this.forgetLoss();
    } else if (state === 'failed') {
      this.dead('failed');
    } else if (this.wasReady) {
      this.cancelLost ??= this.deps.clock.after(RECONNECT_MS, () => this.stillLost());
    }
  }

  private get state() {
    return this.deps.connections.stateOf(this.instance.service, this.instance.address);
  }

  private stillLost(): void {
    this.forgetLoss();
    if (this.state === 'ready') return;
    // The channel itself was closed: that says nothing about the instance.
    if (this.state === undefined) this.ask();
    else this.dead('lost');
  }

  private forgetLoss(): void {
    this.cancelLost?.();
    this.cancelLost = undefined;
  }

  private tick(): void {
    const { clock, random, timeoutMs } = this.deps;
    const leftMs = this.since + timeoutMs - clock.now();
    if (leftMs <= 0) return this.dead('timeout');
    if (this.state === 'ready') this.wasReady = true;
    else this.ask();
    this.scheduleTick(Math.min(leftMs, PROBE_EVERY_MS * (1 + PROBE_JITTER * (2 * random() - 1))));
  }

  private scheduleTick(ms: number): void {
    this.cancelTick = this.deps.clock.after(ms, () => this.tick());
  }

  private ask(): void {
    if (this.probing) return;
    this.probing = true;
    const { host, port } = this.instance;
    this.probes.ask(host, port, this.stopping.signal, (accepted) => {
      this.probing = false;
      if (!accepted && this.state !== 'ready') this.dead('refused');
    });
  }
}
