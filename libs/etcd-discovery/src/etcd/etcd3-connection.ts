import { type CallOptions, Channel, connectivityState } from '@grpc/grpc-js';
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { ResolvedEtcdOptions } from '../options/resolved-options.js';
import type { Clock } from '../utils/clock.js';
import { EtcdRequestError, isEtcdFailure } from './etcd-status.js';
import { TrackedCall } from './etcd3-call.js';
import { channelCredentials } from './etcd3-credentials.js';
import { ChannelDials } from './etcd3-dials.js';
import { type RequestContext, messageFor, toEtcdRequestError } from './etcd3-status.js';
import { withinBound } from './within-bound.js';

/** How far a failed attempt got, which decides whether it may be made again elsewhere. */
export type AttemptStage =
  /** Its time ran out while the connection was still being made; the connection may yet come. */
  | 'dialing'
  /** It provably never left this process. */
  | 'unsent'
  /** etcd may have seen it, and may have done it. */
  | 'sent'
  /** The caller's signal, or the client's close. */
  | 'aborted';

export class AttemptFailure extends Error {
  constructor(
    readonly stage: AttemptStage,
    readonly error: EtcdRequestError,
  ) {
    super(error.message);
  }
}

export interface ConnectionOptions {
  readonly endpoint: string;
  /** Longest wait for the connection, and for the answer to a log-in. */
  readonly dialTimeoutMs: number;
  readonly etcd: Pick<ResolvedEtcdOptions, 'tls' | 'username' | 'password'>;
  readonly clock: Clock;
}

export interface AttemptOptions {
  readonly operation: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** An open stream of the driver and the call under it. */
export interface ConnectedStream<S> {
  readonly stream: S;
  readonly call: TrackedCall;
  /** The token it was opened with: etcd goes on checking that one, whatever is fetched later. */
  readonly token: string | undefined;
}

/** etcd answers pings more often than every 5 s, or without an open call, with GOAWAY (`--grpc-keepalive-min-time`). */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_receive_message_length': -1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** With less time left once it is up, ms, a silence says nothing against a connection that others may use. */
const MIN_ANSWER_MS = 100;

/** Said in words only: grpc-js had no connection to write to, or etcd turned the request away at the door. */
const NEVER_SENT =
  /^No connection established|^Name resolution failed|^Channel closed before call started|: no leader$/;

/**
 * One connection to one endpoint: one channel for all services, one log-in for all calls. It is used until it fails
 * and then replaced by a new one, never repaired.
 *
 * It does its own log-in: the driver's ignores the channel options (and with them the TLS name), never closes its
 * channel, and turns 200 calls with an expired token into 200 password checks.
 */
export class Etcd3Connection {
  readonly endpoint: string;
  private readonly dials = new ChannelDials();
  private readonly channel: Channel;
  private readonly driver: Etcd3;
  private readonly calls = new Set<TrackedCall>();
  private opening: Promise<void> | undefined;
  private loggingIn: Promise<void> | undefined;
  private token: string | undefined;
  /** Set once no new calls are taken; called when the last one is over. */
  private drained: (() => void) | undefined;

  /** @throws EtcdRequestError `tls` when the credentials cannot be used. */
  constructor(private readonly options: ConnectionOptions) {
    this.endpoint = options.endpoint;
    const name = options.etcd.tls?.serverName;
    const target = { 'grpc.ssl_target_name_override': name, 'grpc.default_authority': name };
    // `dns:` because a bare `etcd:2379`, a usual name in a compose file, would be read as our own scheme `etcd`.
    const credentials = this.dials.follow(channelCredentials(options.etcd.tls, this.endpoint));
    this.channel = new Channel(`dns:${this.endpoint}`, credentials, {
      ...CHANNEL_OPTIONS,
      ...(name === undefined ? {} : target),
    });
    this.driver = new Etcd3({
      hosts: [this.endpoint],
      grpcOptions: { channelOverride: this.channel },
      faultHandling: { host: () => noop, global: noop },
    });
  }

  /** Connects and logs in, once; resolves too when connecting failed, since the next call then says why. */
  open(): Promise<void> {
    if (!this.opening) {
      this.opening = this.connected().then(() => this.login());
      // Whoever waits gets the failure; nobody may be waiting any more.
      this.opening.catch(() => undefined);
    }
    return this.opening;
  }

  /** @throws AttemptFailure */
  async unary<T>(send: (driver: Etcd3, options: CallOptions) => Promise<T>, attempt: AttemptOptions): Promise<T> {
    const deadline = this.options.clock.now() + attempt.timeoutMs;
    const remaining = () => deadline - this.options.clock.now();
    const context = this.contextOf(attempt.operation);
    await this.opened(attempt);
    if (remaining() < Math.min(MIN_ANSWER_MS, attempt.timeoutMs / 2)) throw stillDialing(attempt.timeoutMs, context);
    const token = this.token;
    try {
      return await this.send(send, token, { ...attempt, timeoutMs: remaining() });
    } catch (failure) {
      const { error } = failure as AttemptFailure;
      if (this.options.etcd.username === undefined || !isEtcdFailure(error, 'auth') || remaining() <= 0) throw failure;
    }
    // The request was refused before it was looked at, so it is safe to send again with a new token.
    const login = this.loginUnlessChanged(token);
    await withinBound(login, { clock: this.options.clock, timeoutMs: remaining(), signal: attempt.signal }).catch(
      (error: unknown) => {
        throw new AttemptFailure('unsent', toEtcdRequestError(error, context));
      },
    );
    return this.send(send, this.token, { ...attempt, timeoutMs: remaining() });
  }

  /** Opens a stream; `deadlineMs` bounds its life, `attempt.timeoutMs` the opening. @throws AttemptFailure */
  async stream<S>(
    start: (driver: Etcd3, options: CallOptions) => Promise<S>,
    attempt: AttemptOptions & { readonly deadlineMs?: number },
  ): Promise<ConnectedStream<S>> {
    await this.opened(attempt);
    const { token } = this;
    const call = this.track(token);
    try {
      return { stream: await start(this.driver, call.callOptions(attempt.deadlineMs)), call, token };
    } catch (error) {
      this.untrack(call);
      throw new AttemptFailure('unsent', toEtcdRequestError(error, this.contextOf(attempt.operation)));
    }
  }

  /** Logs in again before the next call, unless that has happened since `token` was fetched. */
  dropToken(token: string | undefined): void {
    this.loginUnlessChanged(token).catch(() => undefined);
  }

  /** Takes no new calls and closes as soon as those under way are over; each of them is bounded. */
  retire(drained: () => void): void {
    this.drained ??= drained;
    this.closeIfDrained();
  }

  /** Cancels everything and closes at once. */
  close(reason: string): void {
    for (const call of this.calls) call.cancel(reason);
    this.closeChannel();
  }

  private async opened({ operation, timeoutMs, signal }: AttemptOptions): Promise<void> {
    const context = this.contextOf(operation);
    const waited = withinBound(this.open(), { clock: this.options.clock, timeoutMs, signal });
    await waited.catch((error: unknown) => {
      if (signal?.aborted) throw this.aborted(context, signal.reason);
      if (waited.expired()) throw stillDialing(timeoutMs, context);
      throw new AttemptFailure('unsent', toEtcdRequestError(error, context));
    });
  }

  /** Settles when the channel is ready, or has failed: then the first call on it fails at once and says why. */
  private connected(): Promise<void> {
    const { dialTimeoutMs } = this.options;
    const deadline = Date.now() + dialTimeoutMs;
    const context = this.contextOf('connect');
    return new Promise((resolve, reject) => {
      const look = (expired?: Error) => {
        if (expired) return reject(unreachable(`no connection within ${dialTimeoutMs} ms`, context));
        const state = this.channel.getConnectivityState(true);
        if (state === connectivityState.SHUTDOWN) return reject(unreachable('the connection was given up', context));
        if (state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE) return resolve();
        this.channel.watchConnectivityState(state, deadline, look);
      };
      look();
    });
  }

  private async login(): Promise<void> {
    const { username, password } = this.options.etcd;
    if (username === undefined) return;
    const operation = 'login';
    const request = { name: username, password: password ?? '' };
    this.token = await this.send((driver, options) => driver.auth.authenticate(request, options), undefined, {
      operation,
      timeoutMs: this.options.dialTimeoutMs,
    }).then(
      ({ token }) => token,
      (failure: AttemptFailure) => {
        // As etcd's own client does: credentials for an etcd that does not ask for any are not an error.
        if (/authentication is not enabled/i.test(failure.error.message)) return undefined;
        throw failure.error;
      },
    );
  }

  /** One log-in at a time, and none when another call has brought a new token already. */
  private loginUnlessChanged(used: string | undefined): Promise<void> {
    if (this.token !== used) return Promise.resolve();
    this.loggingIn ??= this.login().finally(() => (this.loggingIn = undefined));
    return this.loggingIn;
  }

  private async send<T>(
    send: (driver: Etcd3, options: CallOptions) => Promise<T>,
    token: string | undefined,
    { operation, timeoutMs, signal }: AttemptOptions,
  ): Promise<T> {
    const context = this.contextOf(operation);
    if (signal?.aborted) throw this.aborted(context, signal.reason);
    const call = this.track(token);
    const abort = () => call.cancel('aborted by the caller');
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await send(this.driver, call.callOptions(Math.max(1, timeoutMs)));
    } catch (error) {
      if (call.cancelled !== undefined) throw this.aborted(context, signal?.aborted ? signal.reason : call.cancelled);
      const stage = NEVER_SENT.test(call.status?.details ?? '') ? 'unsent' : 'sent';
      const expired = call.status?.code === 4 ? `no answer within ${Math.round(timeoutMs)} ms` : undefined;
      throw new AttemptFailure(
        stage,
        expired ? unreachable(expired, context, call.status) : toEtcdRequestError(call.status ?? error, context),
      );
    } finally {
      signal?.removeEventListener('abort', abort);
      // A stream that has given its answer is still closing; it stays cancellable until it is over.
      if (call.status || !call.started) this.untrack(call);
    }
  }

  private track(token: string | undefined): TrackedCall {
    const call = new TrackedCall({ token, onSettled: (settled) => this.untrack(settled) });
    this.calls.add(call);
    return call;
  }

  private untrack(call: TrackedCall): void {
    this.calls.delete(call);
    this.closeIfDrained();
  }

  private closeIfDrained(): void {
    if (!this.drained || this.calls.size > 0) return;
    this.closeChannel();
    this.drained();
  }

  private closeChannel(): void {
    this.channel.close();
    this.dials.giveUp();
  }

  private aborted(context: RequestContext, reason: unknown): AttemptFailure {
    const text = typeof reason === 'string' ? reason : 'aborted by the caller';
    return new AttemptFailure(
      'aborted',
      reason instanceof EtcdRequestError
        ? reason
        : new EtcdRequestError('cancelled', messageFor('cancelled', text, context), { cause: reason }),
    );
  }

  private contextOf(operation: string): RequestContext {
    return { operation, endpoint: this.endpoint };
  }
}

const unreachable = (text: string, context: RequestContext, cause?: unknown): EtcdRequestError =>
  new EtcdRequestError('unreachable', messageFor('unreachable', text, context), { cause });

const stillDialing = (timeoutMs: number, context: RequestContext): AttemptFailure =>
  new AttemptFailure('dialing', unreachable(`still connecting after ${Math.round(timeoutMs)} ms`, context));
