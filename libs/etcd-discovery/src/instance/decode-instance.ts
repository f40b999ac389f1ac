import { isUtf8 } from 'node:buffer';
import {
  isGoMicro,
  type InstanceContent,
  readJsonContent,
  readPlainContent,
  UnreadableValue,
} from './foreign-formats.js';
import { preferredEndpoint } from './instance-endpoint.js';
import { jsonDepth, JsonObject } from './json-value.js';
import { makeInstance } from './make-instance.js';
import { readOwnValue } from './own-value.js';
import type { ServiceInstance } from './service-instance.js';
import type { StoredValue } from './stored-value.js';
import { MAX_GO_MICRO_DEPTH, MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from './value-limits.js';

export type DecodeResult =
  | { readonly ok: true; readonly instance: ServiceInstance }
  /** Fit for a log line: what others wrote is quoted, escaped and cut. */
  | { readonly ok: false; readonly reason: string };

/**
 * Reads one value: ours, or that of etcd naming, Kratos, Kitex, go-micro, go-zero or a plain address. Never throws; what
 * is too large, malformed or of an address that cannot be called comes back as a reason. Size is looked at before
 * parsing, unknown fields are dropped, the instance is frozen and its metadata has no prototype.
 */
export const decodeInstance = (source: StoredValue): DecodeResult => {
  const instance = readOwnValue(source);
  return instance ? { ok: true, instance } : decodeAnyInstance(source);
};

/** The same, the long way, for every format and with a reason for what cannot be read. */
export const decodeAnyInstance = (source: StoredValue): DecodeResult => {
  try {
    return { ok: true, instance: instanceOf(source, read(source)) };
  } catch (error) {
    if (error instanceof UnreadableValue) return { ok: false, reason: error.message };
    // JSON.parse quotes its input, which nobody has looked at; its message stays out of the log.
    return { ok: false, reason: 'the value cannot be read' };
  }
};

const read = ({ service, id, value }: StoredValue): InstanceContent => {
  if (value.length === 0) throw new UnreadableValue('the value is empty');
  if (value.length > MAX_VALUE_BYTES) {
    throw new UnreadableValue(`the value has ${value.length} bytes, at most ${MAX_VALUE_BYTES} are read`);
  }
  const text = decodeUtf8(value);
  if (!text.startsWith('{')) return readPlainContent(text, id.includes('/') ? 'plain' : 'go-zero');
  const depth = jsonDepth(text);
  if (depth > MAX_GO_MICRO_DEPTH) throw new UnreadableValue(`the value is nested ${depth} deep`);
  const json = parseJson(text);
  if (depth > MAX_VALUE_DEPTH && !isGoMicro(json)) throw new UnreadableValue(`the value is nested ${depth} deep`);
  return readJsonContent(json, service);
};

const decodeUtf8 = (value: Buffer): string => {
  if (!isUtf8(value)) throw new UnreadableValue('the value is not UTF-8');
  // `trim` takes the line feed of `etcdctl put` from a pipe, and a byte order mark.
  return value.toString('utf8').trim();
};

const parseJson = (text: string): JsonObject => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new UnreadableValue('the value is not JSON');
  }
  const json = JsonObject.of(parsed);
  if (!json) throw new UnreadableValue('the value is not a JSON object');
  return json;
};

const instanceOf = (source: StoredValue, content: InstanceContent): ServiceInstance => {
  const preferred = preferredEndpoint(content.endpoints);
  if (!preferred) throw new UnreadableValue('no endpoint');
  return makeInstance(source, preferred, content);
};
