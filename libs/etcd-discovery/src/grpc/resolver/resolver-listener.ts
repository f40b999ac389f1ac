import { type experimental, Metadata, type ServiceConfig, status } from '@grpc/grpc-js';
import type { DiscoveryEndpoint } from './discovery-endpoint.js';

/** What a resolver reports, whatever version of grpc-js it reports to. */
export interface ListenerPort {
  endpoints(
    endpoints: DiscoveryEndpoint[],
    serviceConfig: ServiceConfig | null,
    attributes: Record<string, unknown>,
    note: string,
  ): void;
  /** UNAVAILABLE. Policies that have endpoints keep them. */
  unavailable(details: string, serviceConfig: ServiceConfig | null, attributes: Record<string, unknown>): void;
  /** `function` since 1.14. Before, an empty list carried no reason, and no balancer of ours is there to take it. */
  readonly shape: 'function' | 'object';
}

/** The listener of grpc-js 1.10 to 1.13. */
interface LegacyListener {
  onSuccessfulResolution(
    endpoints: DiscoveryEndpoint[],
    serviceConfig: ServiceConfig | null,
    serviceConfigError: object | null,
    configSelector: unknown,
    attributes: Record<string, unknown>,
  ): void;
  onError(status: { code: number; details: string; metadata: Metadata }): void;
}

const unavailable = (details: string) => ({ code: status.UNAVAILABLE, details, metadata: new Metadata() });

/**
 * grpc-js changed the resolver's listener once, in 1.14: from an object with two methods to one function.
 * Results are made by hand rather than with `statusOrFromValue`, which older versions do not export.
 */
export const adaptListener = (listener: experimental.ResolverListener | LegacyListener): ListenerPort => {
  if (typeof listener === 'function') {
    const config = (value: ServiceConfig | null) => value && ({ ok: true, value } as const);
    return {
      shape: 'function',
      endpoints: (endpoints, serviceConfig, attributes, note) => {
        listener({ ok: true, value: endpoints }, attributes, config(serviceConfig), note);
      },
      unavailable: (details, serviceConfig, attributes) => {
        listener({ ok: false, error: unavailable(details) }, attributes, config(serviceConfig), details);
      },
    };
  }
  return {
    shape: 'object',
    endpoints: (endpoints, serviceConfig) => {
      // Attributes are for our balancer, which is not there; up to 1.12 a new object in them means new connections.
      listener.onSuccessfulResolution(endpoints, serviceConfig, null, null, {});
    },
    unavailable: (details) => {
      listener.onError(unavailable(details));
    },
  };
};
