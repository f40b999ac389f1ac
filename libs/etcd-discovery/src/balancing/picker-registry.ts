import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import type { Random } from '../utils/clock.js';
import { createConsistentHashPicker } from './consistent-hash.picker.js';
import { createLeastRequestPicker } from './least-request.picker.js';
import type { Picker, PickerFactory, PolicyConfig } from './picker.interface.js';
import { createRandomPicker } from './random.picker.js';
import { createRoundRobinPicker } from './round-robin.picker.js';
import { createWeightedRoundRobinPicker } from './weighted-round-robin.picker.js';
import { ZonePreferencePicker } from './zone-preference.picker.js';

const factories = new Map<string, PickerFactory>([
  ['least_request', createLeastRequestPicker],
  ['round_robin', createRoundRobinPicker],
  ['random', createRandomPicker],
  ['weighted_round_robin', createWeightedRoundRobinPicker],
  ['consistent_hash', createConsistentHashPicker],
]);

/**
 * Adds a load-balancing policy of your own, for the whole process. Call it before the first client of that policy makes
 * its first call, e.g. at the top level of a file that the application module imports:
 *
 * ```ts
 * definePicker('first', () => {
 *   let first: PickCandidate;
 *   return { update: ([candidate]) => (first = candidate!), pick: () => first };
 * });
 * // then: loadBalancing: 'first' is { policy: 'first' }
 * ```
 *
 * Zone preference comes on top of every policy and needs nothing of the picker.
 *
 * @throws InvalidOptionsError for an empty name, or the name of another policy
 */
export const definePicker = (policy: string, factory: PickerFactory): void => {
  if (policy === '') throw new InvalidOptionsError('definePicker: the name of a load-balancing policy cannot be empty');
  const known = factories.get(policy);
  if (known && known !== factory) {
    throw new InvalidOptionsError(`definePicker: the load-balancing policy "${policy}" is defined already`);
  }
  factories.set(policy, factory);
};

export const isPolicyDefined = (policy: string): boolean => factories.has(policy);

/** Throws what a user needs to read when an option names a policy that nobody defined. */
export const assertPolicyDefined = (option: string, policy: string): void => {
  if (factories.has(policy)) return;
  throw new InvalidOptionsError(
    `${option}: unknown load-balancing policy "${policy}"; known are ${[...factories.keys()].join(', ')}. ` +
      'A policy of your own is added with definePicker(name, factory) before the first call',
  );
};

/** @throws InvalidOptionsError for a policy that nobody defined */
export const createPicker = (config: PolicyConfig, random: Random = Math.random): Picker => {
  assertPolicyDefined('loadBalancing', config.policy);
  const create = factories.get(config.policy)!;
  const { zone } = config;
  return zone ? new ZonePreferencePicker(zone, () => create(config, random), config) : create(config, random);
};
