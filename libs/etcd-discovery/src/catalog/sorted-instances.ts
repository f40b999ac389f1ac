import type { ServiceInstance } from '../instance/service-instance.js';
import type { ServiceEvent } from './service-catalog.js';

/**
 * The instances after these events, sorted by id. Both what was there and what comes in a list is in order already, so
 * the two are merged: a single change among ten thousand must not sort them all.
 */
export const mergeById = (
  last: readonly ServiceInstance[],
  events: readonly ServiceEvent[],
): readonly ServiceInstance[] => {
  const gone = new Set<ServiceInstance>();
  const come: ServiceInstance[] = [];
  for (const event of events) {
    if (event.previous) gone.add(event.previous);
    if (event.type !== 'removed') come.push(event.instance);
  }
  // Of several events of one instance, only what the last of them left is there.
  const arrived = gone.size === 0 ? come : come.filter((instance) => !gone.has(instance));
  // A list of etcd mostly is in order already, and a sort copies it to find that out.
  if (!isSorted(arrived)) arrived.sort(byId);
  if (last.length === 0) return Object.freeze(arrived);
  const merged: ServiceInstance[] = [];
  let next = 0;
  for (const instance of last) {
    if (gone.size > 0 && gone.has(instance)) continue;
    while (next < arrived.length && byId(arrived[next]!, instance) < 0) merged.push(arrived[next++]!);
    merged.push(instance);
  }
  while (next < arrived.length) merged.push(arrived[next++]!);
  return Object.freeze(merged);
};

const byId = (a: ServiceInstance, b: ServiceInstance): number => compare(a.id, b.id) || compare(a.address, b.address);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const isSorted = (instances: readonly ServiceInstance[]): boolean => {
  for (let i = 1; i < instances.length; i++) if (byId(instances[i - 1]!, instances[i]!) > 0) return false;
  return true;
};
