import type { DiscoveryConnection } from '../../src/catalog/connection-directory.js';
import { DiscoveryService } from '../../src/discovery/discovery.service.js';
import { catalogWorld, MOMENT } from './catalog-world.js';
import { seededRandom } from './fake-clock.js';

/** A discovery service over a catalog over a fake etcd, on a fake clock. */
export const discoveryWorld = (deps: Parameters<typeof catalogWorld>[0] = {}) => {
  const base = catalogWorld(deps);
  const connection: DiscoveryConnection = {
    name: 'default',
    catalog: base.catalog,
    resolveTimeoutMs: 5_000,
    clientDefaults: () => {
      throw new Error('not asked for here');
    },
  };
  const discovery = new DiscoveryService(connection, { clock: base.clock, random: seededRandom(3) });
  /** Turns time until the promise settles. */
  const settled = async <T>(promise: Promise<T>, ms = MOMENT): Promise<T> => {
    promise.catch(() => {});
    await base.clock.advance(ms);
    return promise;
  };
  return { ...base, discovery, settled };
};
