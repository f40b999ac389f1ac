import type { DiscoveryConnection } from '../../catalog/connection-directory.js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';

/**
 * How calls behave before any connection is open, that is, without options: a client may be built, and called, before
 * the module is there. The same numbers as the options' own defaults; where they come from is said there.
 */
export const INITIAL_CLIENT_DEFAULTS: ResolvedClientDefaults = {
  loadBalancing: { policy: 'least_request' },
  retry: { maxAttempts: 4, initialBackoffMs: 20, maxBackoffMs: 500, maxTokens: 1000 },
  retryableMethods: [],
  deadlineMs: 10_000,
  waitForReady: false,
  keepalive: { timeMs: 30_000, timeoutMs: 5_000 },
  outlierDetection: false,
};

/** The settings of one client: its own over those of the connection, `retryableMethods` of both. */
export const clientDefaults = (
  connection: DiscoveryConnection | undefined,
  service: string,
  overrides: Partial<ResolvedClientDefaults> = {},
): ResolvedClientDefaults => {
  const base = connection?.clientDefaults(service) ?? INITIAL_CLIENT_DEFAULTS;
  return {
    ...base,
    ...overrides,
    retryableMethods: [...base.retryableMethods, ...(overrides.retryableMethods ?? [])],
  };
};
