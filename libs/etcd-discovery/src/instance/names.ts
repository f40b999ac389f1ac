import { EtcdDiscoveryError } from '../etcd-discovery.errors.js';
import { byteLength, hasControlCharacters, quote } from './text.js';

/** Names and ids that this library writes; `..` is refused besides. */
const NAME = /^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$/;

/** The grammar in words, for error messages. */
export const NAME_GRAMMAR =
  "1 to 128 characters of a-z, 0-9, '.', '_' and '-', a letter or digit first and last, no '..'";

/** What nearly every readable name is; looked at first, because every key of every list passes here. */
const PLAIN_NAME = /^[!-.0-~]{1,256}$/;

/** Longest service name or id of another writer that is read, in bytes. */
const MAX_READABLE_BYTES = 256;

/** True for a service name or an instance id that this library may write. */
export const isValidName = (name: unknown): name is string =>
  typeof name === 'string' && NAME.test(name) && !name.includes('..');

/**
 * True for a service name or an id of another writer that is taken as it is: not empty, no `/`, no control characters,
 * at most 256 bytes. Wider than `isValidName`, because foreign stacks use upper case, colons and brackets.
 */
export const isReadableName = (name: string): boolean =>
  // Names become keys of records that users see.
  name !== '__proto__' &&
  (PLAIN_NAME.test(name) ||
    (name !== '' && !name.includes('/') && byteLength(name) <= MAX_READABLE_BYTES && !hasControlCharacters(name)));

/** @throws EtcdDiscoveryError INVALID_NAME, naming what was given and the grammar. */
export function assertValidName(kind: 'service name' | 'instance id', name: unknown): asserts name is string {
  if (isValidName(name)) return;
  const given = typeof name === 'string' ? quote(name) : `a value of type ${name === null ? 'null' : typeof name}`;
  throw new EtcdDiscoveryError('INVALID_NAME', `${given} is not a valid ${kind}: expected ${NAME_GRAMMAR}`);
}
