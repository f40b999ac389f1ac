import type { CallOptions } from '@grpc/grpc-js';
import type { Etcd3 } from 'etcd3';
import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import type { Clock } from '../utils/clock.js';
import type { ProbingGate } from './connectivity-gate.js';
import { EndpointRotation } from './endpoint-rotation.js';
import { EtcdRequestError } from './etcd-status.js';
import { type AttemptOptions, AttemptFailure, type ConnectedStream, type Etcd3Connection } from './etcd3-connection.js';
import { isConnectivityFailure, toEtcdRequestError } from './etcd3-status.js';

export interface RoleDeps {
  readonly endpoints: readonly string[];
  /** Index of the endpoint to start with. */
  readonly first: number;
  readonly connect: (endpoint: string) => Etcd3Connection;
  readonly gate: ProbingGate;
  readonly clock: Clock;
  /** Told after every request that was answered. */
  readonly reached: (endpoint: string) => void;
  /** Whether that endpoint has answered one of the roles within the time that a dial is given. */
  readonly answeredLately: (endpoint: string) => boolean;
}

export interface RoleRequest extends AttemptOptions {
  /**
   * After a failure to reach etcd, try the remaining endpoints within the same call: `always` for what may be done
   * twice, `unsent` for what may not, unless it provably never left, `never` for the probe, which is one attempt.
   */
  readonly retry: 'always' | 'unsent' | 'never';
  /** The gate's own probe goes out while the gate is closed. */
  readonly ungated?: boolean;
}

type Send<T> = (driver: Etcd3, options: CallOptions) => Promise<T>;

/** One of the three users of etcd (unary calls, watches, lease renewals), each with a connection of its own. */
export class EtcdRole {
  readonly rotation: EndpointRotation<Etcd3Connection>;
  private closed = false;

  constructor(private readonly deps: RoleDeps) {
    this.rotation = new EndpointRotation(deps.endpoints, deps.first, deps.connect);
  }

  /** @throws EtcdRequestError, or EtcdDiscoveryError CLOSED */
  async request<T>(send: Send<T>, request: RoleRequest): Promise<T> {
    const { clock, endpoints } = this.deps;
    const deadline = clock.now() + request.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      if (!request.ungated) this.assertOpen(request.operation);
      try {
        return await this.attempt((connection) =>
          connection.unary(send, { ...request, timeoutMs: deadline - clock.now() }),
        );
      } catch (failure) {
        if (!(failure instanceof AttemptFailure)) throw failure;
        const again =
          attempt < endpoints.length &&
          clock.now() < deadline &&
          isRetryable(failure) &&
          mayRepeat(failure, request.retry);
        if (!again) throw this.surface(failure, request);
      }
    }
  }

  /** Opens a stream on the connection in use, or on the first of the next ones that comes up. */
  async openStream<S>(
    start: Send<S>,
    options: AttemptOptions,
  ): Promise<ConnectedStream<S> & { connection: Etcd3Connection }> {
    for (let attempt = 1; ; attempt++) {
      this.assertOpen(options.operation);
      try {
        return await this.attempt(async (connection) => ({
          ...(await connection.stream(start, options)),
          connection,
        }));
      } catch (failure) {
        if (!(failure instanceof AttemptFailure)) throw failure;
        if (attempt >= this.deps.endpoints.length || !isRetryable(failure)) throw this.surface(failure, options);
      }
    }
  }

  close(): void {
    this.closed = true;
    this.rotation.close('the client was closed');
  }

  private async attempt<T>(work: (connection: Etcd3Connection) => Promise<T>): Promise<T> {
    if (this.closed) throw closedError();
    const { endpoint } = this.rotation;
    let connection: Etcd3Connection | undefined;
    try {
      connection = this.rotation.current();
      const result = await work(connection);
      this.rotation.succeeded(connection);
      this.deps.reached(connection.endpoint);
      return result;
    } catch (error) {
      const failure =
        error instanceof AttemptFailure
          ? error
          : new AttemptFailure('unsent', toEtcdRequestError(error, { operation: 'connect', endpoint }));
      if (!this.closed) this.note(connection, failure);
      throw failure;
    }
  }

  /** Draws the consequences of a failure for the connection and for the gate. */
  private note(connection: Etcd3Connection | undefined, { stage, error }: AttemptFailure): void {
    const { gate, endpoints } = this.deps;
    if (stage === 'aborted') return;
    if (!isConnectivityFailure(error)) {
      if (connection) this.rotation.succeeded(connection);
      return;
    }
    if (stage === 'dialing') {
      // The dial goes on and may succeed; until then nobody else need wait for it. One that is slow although the
      // endpoint works for the other roles is held up by a crowd (a thousand clients after an outage, our own event
      // loop): closing the gate would have everything dialled once more. If it fails in the end, that counts.
      if (endpoints.length === 1 && !this.deps.answeredLately(endpoints[0]!)) gate.trip(error);
      return;
    }
    if (connection) this.rotation.failed(connection);
    // The same credentials are as wrong at every endpoint.
    if (this.rotation.exhausted || error.failure === 'auth') gate.trip(error);
  }

  private assertOpen(operation: string): void {
    if (this.closed) throw closedError();
    const { open, error, since } = this.deps.gate.state;
    if (open) return;
    const failure = error instanceof EtcdRequestError ? error.failure : 'unreachable';
    throw new EtcdRequestError(
      failure,
      `${operation} was not tried, etcd is away since ${since.toISOString()}: ${error?.message}`,
      {
        cause: error,
      },
    );
  }

  private surface({ error, stage }: AttemptFailure, { operation, signal }: AttemptOptions): Error {
    if (this.closed) return new EtcdRequestError('cancelled', `${operation} was cancelled: the client was closed`);
    if (stage === 'aborted' && signal?.reason instanceof EtcdDiscoveryError) return signal.reason;
    return error;
  }
}

export const closedError = (): EtcdDiscoveryError =>
  new EtcdDiscoveryError('CLOSED', 'The connection to etcd is closed, because the application is stopping');

const isRetryable = ({ stage, error }: AttemptFailure): boolean =>
  (stage === 'unsent' || stage === 'sent') && (error.failure === 'unreachable' || error.failure === 'tls');

const mayRepeat = ({ stage }: AttemptFailure, retry: RoleRequest['retry']): boolean =>
  retry === 'always' || (retry === 'unsent' && stage === 'unsent');
