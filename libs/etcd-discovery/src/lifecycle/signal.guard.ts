import type { Log } from '../utils/log.js';

/** What leaves etcd when a signal comes: one per application that registered something. */
export interface Leaver {
  /** Nest or the application itself has begun to shut down: nothing to do but to hasten. */
  readonly leaving: boolean;
  /** Leaves etcd, drains the servers, revokes the lease. Never rejects. */
  leaveForSignal(signal: NodeJS.Signals): Promise<void>;
  /** A second signal: do not wait any longer. */
  hasten(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** How long Nest (or the application) has, after a signal, to begin its shutdown before we leave etcd on our own. */
const GRACE_MS = 500;

/**
 * Signals within this time are one: Ctrl+C reaches the whole process group, and wrappers (the Nest CLI, npm) pass on
 * what the group has had already. Only a later one is somebody who does not want to wait.
 */
const SAME_SIGNAL_MS = 1_000;

/**
 * Leaves etcd on SIGINT and SIGTERM even where `app.enableShutdownHooks()` was forgotten, then lets the process end as
 * it would have. Where somebody else handles the signal and begins a shutdown, that one leads.
 *
 * One set of listeners per process, present only while something is registered.
 */
class SignalGuard {
  private readonly leavers = new Map<Leaver, Log>();
  private signalledAt: number | undefined;
  private readonly listener = (signal: NodeJS.Signals) => void this.onSignal(signal);

  add(leaver: Leaver, log: Log): void {
    if (this.leavers.size === 0) for (const signal of SIGNALS) process.on(signal, this.listener);
    this.leavers.set(leaver, log);
  }

  remove(leaver: Leaver): void {
    if (!this.leavers.delete(leaver) || this.leavers.size > 0) return;
    for (const signal of SIGNALS) process.removeListener(signal, this.listener);
    this.signalledAt = undefined;
  }

  private async onSignal(signal: NodeJS.Signals): Promise<void> {
    if (this.signalledAt !== undefined) {
      if (performance.now() - this.signalledAt < SAME_SIGNAL_MS) return;
      for (const leaver of this.leavers.keys()) leaver.hasten();
      return;
    }
    this.signalledAt = performance.now();
    const leavers = [...this.leavers];
    // With other listeners around, give them the time to begin: Nest's own calls our hooks within milliseconds.
    if (othersListening(signal) > 0) await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
    // Looked at before the first one goes, because the connections of one application leave together.
    const forgotten = leavers.filter(([leaver]) => !leaver.leaving);
    await Promise.all(
      forgotten.map(async ([leaver, log]) => {
        log.warn(
          `${signal}: no shutdown hook ran, so the registry leaves etcd by itself. ` +
            'Call app.enableShutdownHooks() in main.ts, so that the rest of the application closes too.',
        );
        await leaver.leaveForSignal(signal);
        this.remove(leaver);
      }),
    );
    // Nobody is left who would end the process: let it end by the signal, as it would have without us.
    if (this.leavers.size === 0 && othersListening(signal) === 0) process.kill(process.pid, signal);
  }
}

/** Listeners other than ours, without those of `signal-exit`, which only wait for everyone else to be gone. */
const othersListening = (signal: NodeJS.Signals): number =>
  process.listenerCount(signal) - guardListeners(signal) - signalExitListeners();

const guardListeners = (signal: NodeJS.Signals): number =>
  process.listeners(signal).includes(signalGuard['listener']) ? 1 : 0;

const signalExitListeners = (): number => {
  const v3 = (process as { __signal_exit_emitter__?: { count?: number } }).__signal_exit_emitter__;
  const v4 = (globalThis as Record<symbol, { count?: number } | undefined>)[Symbol.for('signal-exit emitter')];
  return (v3?.count ?? 0) + (v4?.count ?? 0);
};

export const signalGuard = new SignalGuard();
