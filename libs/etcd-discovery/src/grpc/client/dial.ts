import type { ChannelOptions } from '@grpc/grpc-js';
import '../register.js';

export { etcdTarget } from '../resolver/etcd-target.js';

/**
 * Channel options for plain grpc-js clients and generated stubs on an `etcd:` target. Balancing, retry of
 * `retryableMethods`, keepalive and backoff come with the target; only the proxy has to be switched off by the channel.
 *
 * ```ts
 * new NotificationServiceClient(etcdTarget('notification-server'), credentials.createInsecure(), defaultChannelOptions())
 * ```
 */
export const defaultChannelOptions = (overrides: ChannelOptions = {}): ChannelOptions => ({
  'grpc.enable_http_proxy': 0,
  ...overrides,
});
