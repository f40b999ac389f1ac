import { z } from 'zod';
import { entryProblem, MAX_WRITTEN_METADATA_BYTES, METADATA_LIMITS, writtenKeyProblem } from '../instance/metadata.js';
import { byteLength } from '../instance/text.js';
import { camelCase, nearestOf } from './option-keys.js';
import { describeGiven } from './option-mistake.js';
import { isMap, report } from './option-section.js';

/** Values of the options that are maps in which not every key is known. */

/** String to string, at most 64 entries; the result has no prototype and is frozen. */
export const metadata = () =>
  z.unknown().transform((given, ctx): Readonly<Record<string, string>> => {
    const wrong = (path: string[], problem: string, shown?: string) => report(ctx, problem, path, shown);
    const result = Object.create(null) as Record<string, string>;
    if (!isMap(given)) {
      wrong([], 'expected a map of strings', describeGiven(given));
      return z.NEVER;
    }
    const entries = Object.entries(given);
    if (entries.length > METADATA_LIMITS.entries)
      wrong([], `has ${entries.length} entries, at most ${METADATA_LIMITS.entries} are allowed`);
    let bytes = 0;
    for (const [key, value] of entries) {
      const keyProblem = writtenKeyProblem(key);
      if (keyProblem !== undefined) wrong([key], keyProblem);
      else if (typeof value !== 'string') {
        const remedy = typeof value === 'number' || typeof value === 'boolean' ? ': put it in quotes' : '';
        wrong([key], `expected a string${remedy}`, describeGiven(value));
      } else {
        const problem = entryProblem(key, value);
        if (problem !== undefined) wrong([key], problem);
        bytes += byteLength(JSON.stringify(key)) + byteLength(JSON.stringify(value));
        result[key] = value;
      }
    }
    if (bytes > MAX_WRITTEN_METADATA_BYTES)
      wrong([], `has ${bytes} bytes, at most ${MAX_WRITTEN_METADATA_BYTES} are allowed`);
    return Object.freeze(result);
  });

const POLICIES = ['least_request', 'round_robin', 'random', 'weighted_round_robin', 'consistent_hash'] as const;

/**
 * A load-balancing policy by name, or as a map of `policy` and its settings. A map may name a policy of the
 * application's own, which is known only when the first client is made.
 */
export const loadBalancing = () =>
  z.unknown().transform((given, ctx): { readonly policy: string; readonly [key: string]: unknown } => {
    const config = isMap(given) ? camelKeys(given) : { policy: given };
    const { policy } = config;
    if (typeof policy === 'string' && policy !== '' && (isMap(given) || isKnown(policy))) {
      return Object.freeze({ ...config, policy });
    }
    const nearest = typeof policy === 'string' ? nearestOf(policy, POLICIES) : undefined;
    const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
    report(ctx, `expected one of ${POLICIES.join(', ')}, or a map with 'policy'${hint}`, [], describeGiven(given));
    return z.NEVER;
  });

/** A map of settings that are checked by whoever uses them; kebab-case keys become camelCase. */
export const settings = () =>
  z.unknown().transform((given, ctx): Readonly<Record<string, unknown>> => {
    if (isMap(given)) return Object.freeze(camelKeys(given));
    report(ctx, 'expected a map', [], describeGiven(given));
    return z.NEVER;
  });

const isKnown = (policy: string): boolean => (POLICIES as readonly string[]).includes(policy);

const camelKeys = (given: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => (key === '__proto__' ? [] : [[camelCase(key), value] as const])),
  );
