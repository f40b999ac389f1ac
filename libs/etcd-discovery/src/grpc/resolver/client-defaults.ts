import type { DiscoveryConnection } from '../../catalog/connection-directory.js';
import { CLIENT_DEFAULTS } from '../../options/defaults.js';
import type { ResolvedClientDefaults } from '../../options/resolved-options.js';

/**
 * The settings of one client: its own over those of the connection, `retryableMethods` of both. Without a connection, that
 * is, before the module is there, the options' own defaults hold.
 */
export const clientDefaults = (
  connection: DiscoveryConnection | undefined,
  service: string,
  overrides: Partial<ResolvedClientDefaults> = {},
): ResolvedClientDefaults => {
  const base = connection?.clientDefaults(service) ?? CLIENT_DEFAULTS;
  return {
    ...base,
    ...overrides,
    retryableMethods: [...base.retryableMethods, ...(overrides.retryableMethods ?? [])],
  };
};
