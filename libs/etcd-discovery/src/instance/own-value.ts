import { isAscii } from 'node:buffer';
import type { StoredValue } from './stored-value.js';
import { makeInstance } from './make-instance.js';
import { parseOwnEndpoint } from './own-endpoint.js';
import { FORBIDDEN_KEYS, type Metadata, METADATA_LIMITS, newMetadata, RESERVED_METADATA_KEYS } from './metadata.js';
import { preferredEndpoint } from './instance-endpoint.js';
import type { InstanceEndpoint, ServiceInstance } from './service-instance.js';
import { MAX_ENDPOINTS, MAX_LABEL_BYTES, MAX_VALUE_BYTES } from './value-limits.js';

const OPEN_BRACE = 0x7b;

/**
 * The short way for the values that this library writes itself and that hold nothing unusual, which is nearly all there
 * are: about a quarter of the time of the long one. Undefined for every other value, be it good or bad: then
 * `decodeInstance` goes the long way, which says what is wrong. What this returns is what the long way would have
 * returned; a property test holds the two together.
 *
 * A value of ASCII without a backslash holds no character that could hurt, and its lengths in characters are those in
 * bytes, so that no text of it has to be looked at again.
 */
export const readOwnValue = (source: StoredValue): ServiceInstance | undefined => {
  const { service, value } = source;
  if (value.length > MAX_VALUE_BYTES || value[0] !== OPEN_BRACE || !isAscii(value)) return undefined;
  const text = value.toString('latin1');
  // JSON itself allows no other control characters within a string.
  if (text.includes('\\') || text.includes('\u007f')) return undefined;
  const json = parsed(text);
  if (!json || !hasOwnFields(json) || !isShallow(text, json)) return undefined;
  const { status, weight, version, registeredAt: registeredText, name } = json;
  if (name !== service || (status !== 'up' && status !== 'draining')) return undefined;
  if (typeof weight !== 'number' || !Number.isInteger(weight) || weight < 1 || weight > 10_000) return undefined;
  if (version !== undefined && !isLabel(version)) return undefined;
  const zone = json.metadata['zone'];
  if (zone !== undefined && !isLabel(zone)) return undefined;
  const metadata = ownMetadata(json.metadata);
  const endpoints = metadata && ownEndpoints(json.endpoints);
  const preferred = endpoints && preferredEndpoint(endpoints);
  const registeredAt = new Date(registeredText);
  if (!metadata || !preferred || Number.isNaN(registeredAt.getTime())) return undefined;
  return makeInstance(source, preferred, {
    format: 'native',
    endpoints,
    version,
    zone,
    weight,
    metadata,
    status,
    registeredAt,
  });
};

interface OwnFields {
  readonly name: unknown;
  readonly status: unknown;
  readonly registeredAt: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly endpoints: readonly unknown[];
  readonly weight: unknown;
  readonly version?: unknown;
  readonly tags?: unknown;
}

const parsed = (text: string): object | undefined => {
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
};

/** All of them its own, whatever somebody has done to `Object.prototype`. */
const hasOwnFields = (json: Partial<OwnFields>): json is OwnFields =>
  Object.hasOwn(json, 'name') &&
  Object.hasOwn(json, 'status') &&
  Object.hasOwn(json, 'weight') &&
  Object.hasOwn(json, 'registeredAt') &&
  typeof json.registeredAt === 'string' &&
  json.registeredAt !== '' &&
  Object.hasOwn(json, 'metadata') &&
  isPlainObject(json.metadata) &&
  Object.hasOwn(json, 'endpoints') &&
  Array.isArray(json.endpoints) &&
  (json.version === undefined || Object.hasOwn(json, 'version'));

/**
 * No nesting but that of the metadata, its copy and the endpoints, counted in the text, because of two fields of one name
 * only the last is in `json`.
 */
const isShallow = (text: string, json: OwnFields): boolean =>
  count(text, '{') === (isPlainObject(json.tags) ? 3 : 2) && count(text, '[') === 1;

const count = (text: string, character: string): number => {
  let found = 0;
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) found++;
  return found;
};

const isPlainObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isLabel = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= MAX_LABEL_BYTES;

/** Of the last value read: the instances of a service mostly say the same, and then share one object. */
let lastMetadata: Metadata = Object.freeze({});
let lastSize = 0;

const ownMetadata = (given: Readonly<Record<string, unknown>>): Metadata | undefined => {
  const last = lastMetadata;
  const keys = Object.keys(given);
  if (keys.length > METADATA_LIMITS.entries) return undefined;
  let size = 0;
  let isLast = true;
  for (const key of keys) {
    const value = given[key];
    if (typeof value !== 'string' || value.length > METADATA_LIMITS.valueBytes) return undefined;
    if (key === '' || key.length > METADATA_LIMITS.keyBytes || FORBIDDEN_KEYS.has(key)) return undefined;
    if (RESERVED_METADATA_KEYS.has(key)) continue;
    size++;
    isLast &&= last[key] === value;
  }
  if (isLast && size === lastSize && Object.getPrototypeOf(last) === null) return last;
  const metadata = newMetadata();
  for (const key of keys) if (!RESERVED_METADATA_KEYS.has(key)) metadata[key] = given[key] as string;
  lastMetadata = Object.freeze(metadata);
  lastSize = size;
  return lastMetadata;
};

const ownEndpoints = (urls: readonly unknown[]): readonly InstanceEndpoint[] | undefined => {
  if (urls.length > MAX_ENDPOINTS) return undefined;
  if (urls.length === 1) {
    // One that grows has room for sixteen.
    const endpoint = typeof urls[0] === 'string' ? parseOwnEndpoint(urls[0]) : undefined;
    return endpoint && [endpoint];
  }
  const endpoints: InstanceEndpoint[] = [];
  for (const url of urls) {
    const endpoint = typeof url === 'string' ? parseOwnEndpoint(url) : undefined;
    if (!endpoint) return undefined;
    endpoints.push(endpoint);
  }
  return endpoints;
};
