import type { Log } from '../utils/log.js';
import type { Leaver } from './signal.guard.js';
import type { TrackedServer } from './tracked-server.js';

/** What is used of a gRPC health implementation; `HealthImplementation` of `grpc-health-check` fits. */
export interface HealthReporter {
  setStatus(service: string, status: 'NOT_SERVING'): void;
}

export interface ShutdownSequenceDeps {
  readonly propagationWaitMs: number;
  readonly drainTimeoutMs: number;
  /** Takes everything out of etcd; resolves to whether anything had been there for others to see. */
  readonly leave: () => Promise<boolean>;
  readonly servers: readonly TrackedServer[];
  readonly health?: HealthReporter;
  readonly services: () => readonly string[];
  /** All sequences of the application, to which this one adds itself. Default: it is alone. */
  readonly together?: Set<ShutdownSequence>;
  readonly log: Log;
}

const applications = new WeakMap<object, Set<ShutdownSequence>>();

/** The sequences of one application, of which each connection has one; the servers belong to all of them. */
export const sequencesOf = (application: object): Set<ShutdownSequence> => {
  const sequences = applications.get(application) ?? new Set();
  applications.set(application, sequences);
  return sequences;
};

/**
 * Leaving without a failed call: health NOT_SERVING, out of etcd, keep serving until clients have seen it, then GOAWAY
 * and let calls and streams finish within `drainTimeout`, then force. However often and from wherever it is called, it
 * runs once. With several connections all leave at the same time, and no server is drained before the last has left.
 */
export class ShutdownSequence implements Leaver {
  /** Called at the end when a signal, not Nest, led the way out. */
  releaseForSignal: () => Promise<void> = () => Promise.resolve();
  private running: Promise<void> | undefined;
  private left: Promise<void> | undefined;
  private readonly together: Set<ShutdownSequence>;
  private readonly impatient = new AbortController();
  private readonly cut = new AbortController();

  constructor(private readonly deps: ShutdownSequenceDeps) {
    this.together = (deps.together ?? new Set<ShutdownSequence>()).add(this);
  }

  get begun(): boolean {
    return this.left !== undefined;
  }

  get leaving(): boolean {
    return this.begun;
  }

  run(): Promise<void> {
    return (this.running ??= this.sequence());
  }

  /** For the wrapped `close()` of one server: the whole application leaves, because one server closing means that. */
  async closeServer(server: TrackedServer): Promise<void> {
    await this.run();
    // One that was bound after the way out had begun has still to be drained.
    await this.drain([server]);
  }

  async leaveForSignal(signal: NodeJS.Signals): Promise<void> {
    await this.run();
    await this.releaseForSignal().catch((error: Error) => this.deps.log.warn(`leaving on ${signal}: ${error.message}`));
  }

  hasten(): void {
    if (this.impatient.signal.aborted) return;
    this.deps.log.warn('second signal: not waiting for clients and calls any longer');
    this.impatient.abort();
    this.cut.abort();
  }

  private async sequence(): Promise<void> {
    await Promise.all(Array.from(this.together, (each) => (each.left ??= each.leave())));
    await this.drain(this.deps.servers);
  }

  private async drain(servers: readonly TrackedServer[]): Promise<void> {
    const timer = setTimeout(() => this.cut.abort(), this.deps.drainTimeoutMs);
    await Promise.all(servers.map((server) => server.drain(this.cut.signal)));
    clearTimeout(timer);
  }

  private async leave(): Promise<void> {
    const { leave, propagationWaitMs, log } = this.deps;
    this.reportNotServing();
    const seen = await leave().catch((error: Error) => {
      log.warn(`leaving etcd failed, the lease will end by itself: ${error.message}`);
      return true;
    });
    // Nobody can have been sent here who was never told of us.
    if (seen) await delay(propagationWaitMs, this.impatient.signal);
  }

  private reportNotServing(): void {
    const { health, services, log } = this.deps;
    try {
      for (const service of ['', ...services()]) health?.setStatus(service, 'NOT_SERVING');
    } catch (error) {
      // The application's own code; whatever it does, leaving comes first.
      log.error(`the health implementation failed, leaving all the same: ${String(error)}`);
    }
  }
}

const delay = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
