import { type CallOptions, type ClientUnaryCall, type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Observable, type Subscriber } from 'rxjs';
import type { Random } from '../../utils/clock.js';
import type { RetryBudget } from './retry-budget.js';

/** How one call behaves; read when it is subscribed to. */
export interface UnaryCallPolicy {
  /** Deadline of a call that has none, ms from now; 0 = none. */
  readonly deadlineMs: number;
  /** Present when the method may be repeated. */
  readonly repeat?: { readonly maxAttempts: number; readonly backoffMs: number; readonly budget: RetryBudget };
}

export interface UnaryCallDeps {
  /** Calls `run` once after `ms`; the returned function cancels. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly random: Random;
  /** What the subscriber sees of an error; Nest's own hook. */
  readonly serializeError: (error: unknown) => unknown;
}

type Invoke = (
  options: CallOptions,
  callback: (error: ServiceError | null, value?: unknown) => void,
) => ClientUnaryCall;

/** Set by grpc-js on the headers it passes on: how many attempts failed before this one. */
const PREVIOUS_ATTEMPTS = 'grpc-previous-rpc-attempts';
const PUSHBACK = 'grpc-retry-pushback-ms';

/**
 * A unary call as an observable, as Nest makes it, with a default deadline and one repeat that grpc-js cannot make. gRPC
 * retry ends when response headers arrive: the call is committed, and a server that dies between headers and answer is a
 * failure no retry policy covers (in 100 kills, all 11 failures left). Only that case is repeated here, once, under the
 * same deadline and within the same number of attempts; all else grpc-js has repeated already, or must not be.
 */
export const unaryCall = (
  invoke: Invoke,
  options: CallOptions | undefined,
  readPolicy: () => UnaryCallPolicy,
  deps: UnaryCallDeps,
): Observable<unknown> =>
  new Observable((subscriber) => {
    const policy = readPolicy();
    const deadline =
      options?.deadline ?? (policy.deadlineMs > 0 ? Date.now() + policy.deadlineMs : Number.POSITIVE_INFINITY);
    const run = new UnaryRun(invoke, { ...options, deadline }, policy, deps, subscriber);
    run.attempt(false);
    return () => run.cancel();
  });

class UnaryRun {
  private call: ClientUnaryCall | undefined;
  private cancelTimer: (() => void) | undefined;
  private done = false;

  constructor(
    private readonly invoke: Invoke,
    private readonly options: CallOptions & { deadline: Date | number },
    private readonly policy: UnaryCallPolicy,
    private readonly deps: UnaryCallDeps,
    private readonly subscriber: Subscriber<unknown>,
  ) {}

  attempt(isRepeat: boolean): void {
    let attempts: number | undefined;
    const answered = (error: ServiceError | null, value?: unknown) => {
      const { repeat } = this.policy;
      if (!error) {
        repeat?.budget.onSuccess();
        this.done = true;
        this.subscriber.next(value);
        this.subscriber.complete();
        return;
      }
      if (!isRepeat && attempts !== undefined && this.mayRepeat(error, attempts)) {
        // ±20 %, as gRFC A6 has it.
        const delayMs = repeat!.backoffMs * (0.8 + 0.4 * this.deps.random());
        this.cancelTimer = this.deps.after(delayMs, () => this.attempt(true));
        return;
      }
      this.fail(error);
    };
    try {
      this.call = this.invoke(this.options, answered);
    } catch (error) {
      // grpc-js throws on a client that was closed meanwhile; out of a timer that would end the process.
      return this.fail(error);
    }
    this.call.on('metadata', (headers: Metadata) => {
      attempts = 1 + Number(headers.get(PREVIOUS_ATTEMPTS)[0] ?? 0);
    });
  }

  private fail(error: unknown): void {
    this.done = true;
    this.subscriber.error(this.deps.serializeError(error));
  }

  cancel(): void {
    this.cancelTimer?.();
    if (!this.done) this.call?.cancel();
  }

  private mayRepeat(error: ServiceError, attempts: number): boolean {
    const { repeat } = this.policy;
    if (!repeat || this.subscriber.closed || error.code !== status.UNAVAILABLE) return false;
    const mayAgain = repeat.budget.onFailure();
    const pushback = error.metadata?.get(PUSHBACK)[0];
    return mayAgain && attempts < repeat.maxAttempts && !(Number(pushback) < 0) && this.timeIsLeft(repeat.backoffMs);
  }

  private timeIsLeft(ms: number): boolean {
    const { deadline } = this.options;
    return Number(deadline) - Date.now() > 1.2 * ms;
  }
}
