import { type CallOptions, InterceptingCall, type Interceptor, Metadata, status } from '@grpc/grpc-js';
import type { CallStatus } from './etcd3-status.js';

/**
 * What the driver gets to see instead of a failure. It reacts to real ones in ways that hurt: an "invalid auth token"
 * makes it send the request again without a pause until the deadline, and UNAVAILABLE or DEADLINE_EXCEEDED closes
 * every channel of the client, on which grpc-js then drops healthy streams at the next ping. FAILED_PRECONDITION is
 * one it passes on.
 */
const NEUTRAL = { code: status.FAILED_PRECONDITION, details: 'see the status of the call', metadata: new Metadata() };

export interface TrackedCallOptions {
  readonly token: string | undefined;
  /** Called once, when the status has come. */
  readonly onSettled: (call: TrackedCall) => void;
}

/** One call of ours on its way through the driver: carries the token, keeps the true status, can be cancelled. */
export class TrackedCall {
  /** The status from the wire; absent while the call is under way, and for one that never started. */
  status: CallStatus | undefined;
  /** Why we cancelled it; absent when we did not. */
  cancelled: string | undefined;
  private inner: InterceptingCall | undefined;

  constructor(private readonly options: TrackedCallOptions) {}

  /** False until the driver has begun: a call that never begins never gets a status. */
  get started(): boolean {
    return this.inner !== undefined;
  }

  /** Options for the driver's stub. `timeoutMs` absent: no deadline, for the watch stream, which has its heartbeat. */
  callOptions(timeoutMs?: number): CallOptions {
    const deadline = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
    return { ...deadline, interceptors: [this.intercept] };
  }

  cancel(reason: string): void {
    if (this.status || this.cancelled !== undefined) return;
    this.cancelled = reason;
    this.inner?.cancelWithStatus(status.CANCELLED, reason);
  }

  private readonly intercept: Interceptor = (options, nextCall) => {
    const { token } = this.options;
    const inner = new InterceptingCall(nextCall(options), {
      start: (metadata, _listener, next) => {
        if (token !== undefined) metadata.set('token', token);
        // A member without a quorum says so at once, instead of lying silent (streams) or after 7 s (unary calls).
        metadata.set('hasleader', 'true');
        next(metadata, {
          onReceiveStatus: (received, pass) => {
            this.status = { code: received.code, details: received.details };
            this.options.onSettled(this);
            pass(received.code === status.OK ? received : NEUTRAL);
          },
        });
        // Cancelled between asking the driver and the driver starting the call.
        if (this.cancelled !== undefined) inner.cancelWithStatus(status.CANCELLED, this.cancelled);
      },
    });
    this.inner = inner;
    return inner;
  };
}
