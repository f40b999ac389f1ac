// The client's target has the scheme that this registers.
import '../grpc/register.js';
import { credentials as grpcCredentials, type ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import type { ServiceSubscription } from '../catalog/service-catalog.js';
import { DiscoveryTimeoutError, ServiceUnavailableError } from '../etcd-discovery.errors.js';
import { abortedError } from '../utils/abort.js';
import { knownInstances, saidByEtcd } from './said-by-etcd.js';

/** What every grpc-js client has, generated or made by proto-loader; structural, so that two copies of grpc-js fit. */
export interface DialedClient {
  waitForReady(deadline: Date | number, callback: (error?: Error) => void): void;
  close(): void;
}

export type GrpcClientClass<C extends DialedClient> = new (
  target: string,
  credentials: ChannelCredentials,
  options?: Partial<ChannelOptions>,
) => C;

export interface DialOptions {
  /** Longest wait for a connection. Default: `discovery.resolveTimeout`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Default: insecure. */
  readonly credentials?: ChannelCredentials;
  readonly channelOptions?: Partial<ChannelOptions>;
}

/**
 * A client that has a connection to an instance. Rejects, and closes the client, with ServiceUnavailableError where no
 * instance is known, with DiscoveryTimeoutError where there are some and none could be reached in time, and with what
 * one of the signals says; each error tells what etcd knows.
 */
export const dial = async <C extends DialedClient>(
  target: string,
  ClientClass: GrpcClientClass<C>,
  share: ServiceSubscription,
  options: DialOptions & { readonly timeoutMs: number; readonly signals: readonly AbortSignal[] },
): Promise<C> => {
  const what = `dialing ${target}`;
  const aborted = options.signals.find((signal) => signal.aborted);
  if (aborted) throw abortedError(what, aborted);
  // A proxy from the environment would replace the target before any resolver sees it.
  const channelOptions = { 'grpc.enable_http_proxy': 0, ...options.channelOptions };
  const client = new ClientClass(target, options.credentials ?? grpcCredentials.createInsecure(), channelOptions);
  const stop = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      for (const signal of options.signals) {
        signal.addEventListener('abort', () => reject(abortedError(what, signal)), { signal: stop.signal });
      }
      client.waitForReady(Date.now() + options.timeoutMs, (error) => {
        if (error) reject(notConnected(target, share, options.timeoutMs, error));
        else resolve();
      });
    });
    return client;
  } catch (error) {
    client.close();
    throw error;
  } finally {
    stop.abort();
  }
};

const notConnected = (target: string, share: ServiceSubscription, timeoutMs: number, cause: Error): Error => {
  const { service, snapshot, health } = share;
  const known = `${knownInstances(service, snapshot)}; ${saidByEtcd(health)}`;
  if (!snapshot || snapshot.instances.length === 0) {
    return new ServiceUnavailableError(`${target} did not connect within ${timeoutMs} ms: ${known}`, { cause });
  }
  const addresses = snapshot.instances.slice(0, 5).map(({ address }) => address);
  const tried = `${addresses.join(', ')}${snapshot.instances.length > addresses.length ? ', …' : ''}`;
  return new DiscoveryTimeoutError(
    `${target} did not connect within ${timeoutMs} ms: ${known}, none of them reachable (${tried})`,
    { cause },
  );
};
