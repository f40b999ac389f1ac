import { isUtf8 } from 'node:buffer';
import { formatHostPort } from './host-port.js';
import {
  isGoMicro,
  type InstanceContent,
  readJsonContent,
  readPlainContent,
  UnreadableValue,
} from './foreign-formats.js';
import { preferredEndpoint } from './instance-endpoint.js';
import { jsonDepth, JsonObject } from './json-value.js';
import type { ServiceInstance } from './service-instance.js';
import { MAX_GO_MICRO_DEPTH, MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from './value-limits.js';

/** A value as it lies in etcd, and where. */
export interface StoredValue {
  readonly service: string;
  /** The id of the key; the whole key for the plain key of a service, which no other id can equal as it has a `/`. */
  readonly id: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

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
  const { service, id, createRevision, modRevision } = source;
  const { endpoints, version, zone, weight, metadata, status, registeredAt, format } = content;
  return Object.freeze({
    id,
    service,
    address: formatHostPort(preferred.host, preferred.port),
    host: preferred.host,
    port: preferred.port,
    endpoints: Object.freeze(endpoints),
    ...(version === undefined ? {} : { version }),
    ...(zone === undefined ? {} : { zone }),
    weight,
    metadata,
    status,
    suspect: false,
    ...(registeredAt === undefined ? {} : { registeredAt }),
    format,
    createRevision,
    modRevision,
  });
};
