import { isReadableName } from './names.js';

/**
 * The one place that builds and reads keys. Layout: `<namespace>/<service>/<id>`, the namespace with a leading slash
 * and without a trailing one. Names hold no `/`, so the last two segments of a key are always its service and its id:
 * within a namespace distinct instances never share a key, and no service's prefix begins another's.
 */

/** All instances of a service. Ends in `/`, so that `users` never sees `users-v2`. */
export const servicePrefix = (namespace: string, service: string): string => `${namespace}/${service}/`;

/** The key of one instance. Callers have checked both names. */
export const instanceKey = (namespace: string, service: string, id: string): string => `${namespace}/${service}/${id}`;

/** Where older single-instance services write a plain value: beside the prefix, not under it. */
export const plainKey = (namespace: string, service: string): string => `${namespace}/${service}`;

/**
 * What `instanceKey` built, or what another stack wrote in the same place. Undefined for a key outside the namespace, a
 * deeper or a shallower one, and for names that cannot be read safely.
 */
export const parseInstanceKey = (namespace: string, key: string): { service: string; id: string } | undefined => {
  const rest = below(namespace, key);
  const slash = rest?.indexOf('/') ?? -1;
  if (rest === undefined || slash < 0) return undefined;
  const service = rest.slice(0, slash);
  const id = rest.slice(slash + 1);
  return isReadableName(service) && isReadableName(id) ? { service, id } : undefined;
};

/** The service of a plain key, undefined for any other key. */
export const parsePlainKey = (namespace: string, key: string): string | undefined => {
  const service = below(namespace, key);
  return service !== undefined && isReadableName(service) ? service : undefined;
};

const below = (namespace: string, key: string): string | undefined =>
  key.startsWith(`${namespace}/`) ? key.slice(namespace.length + 1) : undefined;
