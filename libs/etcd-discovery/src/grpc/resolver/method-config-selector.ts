import type { experimental } from '@grpc/grpc-js';
import { namesMethod, split } from './retryable-methods.js';
import { type BuiltServiceConfig, type MethodConfig, matchMethodConfig, withRetry } from './service-config.js';

/**
 * Chooses the config of each call, where the service config alone cannot: for `retryableMethods` that name a service
 * without its package. Everything else it does as grpc-js's own selector. One object per resolver, because it becomes
 * part of what identifies a connection.
 */
export class MethodConfigSelector implements experimental.ConfigSelector {
  private readonly cache = new Map<string, MethodConfig>();
  private built: BuiltServiceConfig | undefined;

  use(built: BuiltServiceConfig): void {
    this.built = built;
    this.cache.clear();
  }

  invoke(methodName: string): ReturnType<experimental.ConfigSelector['invoke']> {
    let methodConfig = this.cache.get(methodName);
    if (!methodConfig) {
      methodConfig = this.select(methodName);
      // Method names come from code, but through proxies they may come from outside.
      if (this.cache.size < 100) this.cache.set(methodName, methodConfig);
    }
    return { methodConfig, pickInformation: {}, status: 0, dynamicFilterFactories: [] };
  }

  unref(): void {}

  private select(path: string): MethodConfig {
    const [service = '', method = ''] = split(path);
    const name = { service, method };
    const config = matchMethodConfig(this.built?.config.methodConfig ?? [], name);
    const late = this.built?.lateRetry;
    if (!late?.entries.some((entry) => namesMethod(entry, path))) return config ?? { name: [] };
    return withRetry(late.policy, name, config);
  }
}
