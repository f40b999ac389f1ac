/** Keys as they were written, from the root of the options. */
export type OptionPath = readonly (string | number)[];

/** Where an object of the options was read from. */
export interface ObjectOrigin {
  /** Path of the file as a person would type it; absent for an object that the environment alone made. */
  readonly file?: string;
  /** Path of the object inside the file, `etcd.tls`. */
  readonly path: string;
  /** Where single keys come from: a line of the file, or an environment variable. */
  readonly keys: ReadonlyMap<string, KeyOrigin>;
}

export type KeyOrigin = { readonly line: number } | { readonly variable: string };

/**
 * Objects of configuration files, which carry no mark of their own: `ConfigService` hands out the very objects that were
 * loaded, so their identity is enough. A copy loses its own origin, its nested objects keep theirs.
 */
const origins = new WeakMap<object, ObjectOrigin>();

export const rememberOrigin = (object: object, origin: ObjectOrigin): void => {
  if (!origins.has(object)) origins.set(object, origin);
};

export const originOf = (object: object): ObjectOrigin | undefined => origins.get(object);

/** Where the option at `path` was written, in words; undefined when it came from code. */
export const locate = (root: unknown, path: OptionPath): string | undefined => {
  let place: { file: string; path: string } | undefined;
  let nearest: KeyOrigin | undefined;
  let value: unknown = root;
  for (let depth = 0; typeof value === 'object' && value !== null; depth++) {
    const key = path[depth];
    const origin = origins.get(value);
    if (origin?.file !== undefined) {
      const inFile = [origin.path, ...path.slice(depth)].filter((part) => part !== '').join('.');
      place = { file: origin.file, path: inFile };
    }
    // What is missing has no line of its own, but the map that it is missing from has.
    nearest = (key === undefined ? undefined : origin?.keys.get(String(key))) ?? nearest;
    if (key === undefined || !Object.hasOwn(value, key)) break;
    value = (value as Record<string | number, unknown>)[key];
  }
  if (nearest && 'variable' in nearest) return `from the environment variable ${nearest.variable}`;
  if (!place) return undefined;
  const where = nearest ? `${place.file}:${nearest.line}` : place.file;
  return place.path === '' ? where : `${place.path} in ${where}`;
};
