import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { quote } from '../instance/text.js';
import { locate, type OptionPath } from './option-origin.js';

/** One thing wrong with the options. */
export interface OptionMistake {
  readonly path: OptionPath;
  /** What was given, already fit for a log; absent where it is in `problem`. */
  readonly given?: string;
  /** What is wrong, or what was expected. */
  readonly problem: string;
}

/** Everything wrong with `input` in one error, a line per mistake, each with the file and line it came from if known. */
export const invalidOptions = (input: unknown, mistakes: readonly OptionMistake[]): InvalidOptionsError => {
  const lines = mistakes.map(({ path, given, problem }) => {
    const origin = locate(input, path);
    return `  - ${formatPath(path)}: ${given === undefined ? '' : `got ${given}; `}${problem}${origin ? ` (${origin})` : ''}`;
  });
  const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`;
  return new InvalidOptionsError(`${count} in the options of EtcdDiscoveryModule:\n${lines.join('\n')}`);
};

/** `registration[1].dial-timeout`, `services["a.b"]` */
export const formatPath = (path: OptionPath): string =>
  path.length === 0
    ? 'options'
    : path
        .map((key, index) => {
          if (typeof key === 'number') return `[${key}]`;
          if (!/^[A-Za-z0-9_-]+$/.test(key)) return `[${quote(key)}]`;
          return index === 0 ? key : `.${key}`;
        })
        .join('');

/** Stands for what must not be shown. */
export const REDACTED = '[redacted]';

/** A given value for an error message: short, without control characters, and never with a secret in it. */
export const describeGiven = (value: unknown): string => {
  switch (typeof value) {
    case 'string':
      return withoutSecrets(value);
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'undefined':
      return 'nothing';
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    default:
      if (value === null) return 'nothing';
      if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
      return Buffer.isBuffer(value) ? 'a buffer' : 'a map';
  }
};

/** Keys, credentials in a URL and query strings are cut out, wherever the text was given. */
const withoutSecrets = (text: string): string => {
  if (/-----BEGIN|PRIVATE KEY/.test(text)) return REDACTED;
  const query = text.indexOf('?');
  const visible = query < 0 ? text : `${text.slice(0, query)}?${REDACTED}`;
  // Everything from the scheme to the last '@', as a password may hold slashes, commas and at signs.
  return quote(
    visible.replace(/^((?:[a-z][a-z0-9+.-]*:\/\/)?).*@/is, (_all, scheme: string) => `${scheme}${REDACTED}@`),
  );
};
