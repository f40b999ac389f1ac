import { quote } from '../instance/text.js';

/** The keys of one map of options, brought to camelCase. */
export interface ReadKeys {
  readonly values: Readonly<Record<string, unknown>>;
  /** How each key was written. */
  readonly spelling: ReadonlyMap<string, string>;
  readonly problems: readonly { readonly key: string; readonly problem: string }[];
}

/**
 * Reads the keys of a map: `dial-timeout` and `dialTimeout` are the same. Values of undefined and null (an empty line in
 * YAML) count as not given. Undefined for anything but a map.
 */
export const readKeys = (given: unknown, known: readonly string[]): ReadKeys | undefined => {
  if (typeof given !== 'object' || given === null || Array.isArray(given) || Buffer.isBuffer(given)) return undefined;
  const values = Object.create(null) as Record<string, unknown>;
  const spelling = new Map<string, string>();
  const problems: { key: string; problem: string }[] = [];
  for (const [key, value] of Object.entries(given)) {
    const name = camelCase(key);
    const other = spelling.get(name);
    if (!known.includes(name)) problems.push({ key, problem: unknownKey(key, known) });
    else if (other !== undefined)
      problems.push({ key, problem: `is the same option as ${quote(other)}: give one of them` });
    else {
      spelling.set(name, key);
      if (value !== undefined && value !== null) values[name] = value;
    }
  }
  return { values, spelling, problems };
};

/** `dial-timeout` → `dialTimeout`; anything but kebab-case stays as it is, and so never meets a known key. */
export const camelCase = (key: string): string =>
  /^[a-z][a-z0-9]*(-[a-z0-9]+)+$/.test(key)
    ? key.replace(/-([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase())
    : key;

export const kebabCase = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const unknownKey = (key: string, known: readonly string[]): string => {
  const spell = key.includes('-') ? kebabCase : (name: string) => name;
  const nearest = nearestOf(key, known);
  return nearest === undefined
    ? `unknown option; known here: ${known.map(spell).join(', ')}`
    : `unknown option; did you mean ${quote(spell(nearest))}?`;
};

/** The known key that was probably meant, by edit distance on letters and digits alone. */
export const nearestOf = (key: string, known: readonly string[]): string | undefined => {
  // A key that nobody could have mistyped is not compared: the cost grows with its length.
  if (key.length > 64) return undefined;
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const ranked = known
    .map((name) => ({ name, distance: editDistance(plain(key), plain(name)) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.distance - b.distance);
  return ranked[0]?.name;
};

/** Insertions, deletions and substitutions that make one text of the other (Levenshtein). */
const editDistance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
};
