import { parseEndpointAddress, parseEndpointUrl } from './instance-endpoint.js';
import { JsonObject } from './json-value.js';
import { EMPTY_METADATA, freezeMetadata, type Metadata, readMetadata, RESERVED_METADATA_KEYS } from './metadata.js';
import {
  DEFAULT_WEIGHT,
  type EndpointProtocol,
  type InstanceEndpoint,
  type InstanceFormat,
} from './service-instance.js';
import { hasControlCharacters, byteLength, quote } from './text.js';
import { MAX_ENDPOINTS, MAX_LABEL_BYTES } from './value-limits.js';

/** What the value of a key says, whoever wrote it. */
export interface InstanceContent {
  readonly format: InstanceFormat;
  readonly endpoints: readonly InstanceEndpoint[];
  readonly version?: string;
  readonly zone?: string;
  readonly weight: number;
  readonly metadata: Metadata;
  readonly status: 'up' | 'draining';
  readonly registeredAt?: Date;
}

/** A value that cannot be used; the message is the reason, fit for a log. */
export class UnreadableValue extends Error {}

/**
 * Reads a JSON value by the fields that tell the formats apart, in the order in which they exclude each other: a value of
 * ours satisfies the others too, so it comes first.
 */
export const readJsonContent = (value: JsonObject, service: string): InstanceContent => {
  if (isNative(value)) return readNative(value, service);
  if (value.text('Addr') !== undefined) return readEtcdNaming(value);
  if (value.list('nodes')) return readGoMicro(value, service);
  if (value.list('endpoints')) return readKratos(value, service);
  if (value.text('address') !== undefined) return readKitex(value);
  throw new UnreadableValue('no known format: neither Addr, endpoints, nodes nor address');
};

/** Plain `host:port`: go-zero under the prefix, older single-instance services at the key of the service itself. */
export const readPlainContent = (text: string, format: 'go-zero' | 'plain'): InstanceContent => ({
  format,
  endpoints: [endpointOf(text)],
  ...commonFields({}),
});

/** True for a value that may nest deeper than the others, in fields that are not read. */
export const isGoMicro = (value: JsonObject): boolean => !isNative(value) && value.list('nodes') !== undefined;

/** Only our own values have both. */
const isNative = (value: JsonObject): boolean =>
  value.text('status') !== undefined && value.text('registeredAt') !== undefined;

const readNative = (value: JsonObject, service: string): InstanceContent => {
  requireName(value, service);
  const status = value.text('status');
  if (status !== 'up' && status !== 'draining') {
    throw new UnreadableValue(`status ${quote(status ?? '')} is neither "up" nor "draining"`);
  }
  const stored = metadataOf(value.get('metadata'));
  const registeredAt = new Date(value.text('registeredAt') ?? '');
  return {
    format: 'native',
    endpoints: endpointsOf(value),
    ...commonFields({ version: value.get('version'), zone: stored.zone, weight: value.get('weight') }),
    // `zone` and `weight` are in there for stock readers; to ours they are fields of the instance.
    metadata: freezeMetadata(Object.entries(stored).filter(([key]) => !RESERVED_METADATA_KEYS.has(key))),
    status,
    ...(Number.isNaN(registeredAt.getTime()) ? {} : { registeredAt }),
  };
};

/** etcd's `client/v3/naming`: `{"Op":0,"Addr":"…","Metadata":any}`. */
const readEtcdNaming = (value: JsonObject): InstanceContent => {
  const given = value.get('Metadata');
  // Metadata is any JSON there; only an object can hold a weight and a zone.
  const metadata = metadataOf(JsonObject.of(given) ? given : undefined);
  return {
    format: 'etcd-naming',
    endpoints: [endpointOf(value.text('Addr') ?? '')],
    ...commonFields({ version: metadata.version, zone: metadata.zone, weight: metadata.weight, metadata }),
  };
};

const readKratos = (value: JsonObject, service: string): InstanceContent => {
  requireName(value, service);
  const metadata = metadataOf(value.get('metadata'));
  return {
    format: 'kratos',
    endpoints: endpointsOf(value),
    ...commonFields({ version: value.get('version'), zone: metadata.zone, weight: metadata.weight, metadata }),
  };
};

const readKitex = (value: JsonObject): InstanceContent => {
  const network = value.get('network') ?? 'tcp';
  if (network !== 'tcp') throw new UnreadableValue('network is not tcp');
  const metadata = metadataOf(value.get('tags'));
  const weight = Number(value.get('weight'));
  return {
    format: 'kitex',
    endpoints: [endpointOf(value.text('address') ?? '')],
    // Kitex itself takes 10 for every weight that is not positive.
    ...commonFields({
      version: metadata.version,
      zone: metadata.zone,
      weight: weight > 0 ? weight : undefined,
      metadata,
    }),
  };
};

/** go-micro writes one node per key. */
const readGoMicro = (value: JsonObject, service: string): InstanceContent => {
  requireName(value, service);
  const node = JsonObject.of(value.list('nodes')?.[0]);
  if (!node) throw new UnreadableValue('nodes is empty');
  const metadata = metadataOf(node.get('metadata'));
  return {
    format: 'go-micro',
    endpoints: [endpointOf(node.text('address') ?? '', goMicroProtocol(metadata.protocol))],
    ...commonFields({ version: value.get('version'), zone: metadata.zone, weight: metadata.weight, metadata }),
  };
};

const goMicroProtocol = (protocol: string | undefined): EndpointProtocol => {
  if (protocol === undefined || protocol === 'grpc') return 'grpc';
  // Its own protocols (mucp) are listed, but no client of ours takes them for gRPC.
  return protocol === 'http' ? 'http' : 'tcp';
};

/** Kratos fails a whole service on a record of another one; here it hurts that record. */
const requireName = (value: JsonObject, service: string): void => {
  const name = value.get('name');
  if (name !== service) {
    throw new UnreadableValue(`the value is of service ${typeof name === 'string' ? quote(name) : 'unknown'}`);
  }
};

/** The fields that every format may have, checked and bounded. */
const commonFields = (given: { version?: unknown; zone?: unknown; weight?: unknown; metadata?: Metadata }) => {
  const version = labelOf('version', given.version);
  const zone = labelOf('zone', given.zone);
  return {
    ...(version === undefined ? {} : { version }),
    ...(zone === undefined ? {} : { zone }),
    weight: weightOf(given.weight),
    metadata: given.metadata ?? EMPTY_METADATA,
    status: 'up' as const,
  };
};

/** Foreign weights have other scales; what counts is the proportion, so they are only bounded to 1–10000. */
const weightOf = (given: unknown): number => {
  const number =
    typeof given === 'number' ? given : typeof given === 'string' && given.trim() !== '' ? Number(given) : Number.NaN;
  return Number.isNaN(number) ? DEFAULT_WEIGHT : Math.min(10_000, Math.max(1, Math.round(number)));
};

const labelOf = (field: string, given: unknown): string | undefined => {
  if (typeof given !== 'string' || given === '') return undefined;
  if (byteLength(given) > MAX_LABEL_BYTES)
    throw new UnreadableValue(`${field} is longer than ${MAX_LABEL_BYTES} bytes`);
  if (hasControlCharacters(given)) throw new UnreadableValue(`${field} has control characters`);
  return given;
};

const metadataOf = (given: unknown): Metadata => {
  const metadata = readMetadata(given);
  if (typeof metadata === 'string') throw new UnreadableValue(metadata);
  return metadata;
};

const endpointOf = (address: string, protocol?: EndpointProtocol): InstanceEndpoint => {
  const endpoint = parseEndpointAddress(address, protocol);
  if (typeof endpoint === 'string') throw new UnreadableValue(endpoint);
  return endpoint;
};

const endpointsOf = (value: JsonObject): readonly InstanceEndpoint[] => {
  const urls = value.list('endpoints') ?? [];
  if (urls.length > MAX_ENDPOINTS) throw new UnreadableValue(`${urls.length} endpoints`);
  const endpoints: InstanceEndpoint[] = [];
  for (const url of urls) {
    const endpoint = typeof url === 'string' ? parseEndpointUrl(url) : { problem: 'an endpoint is not a string' };
    if (endpoint === 'unknown') continue;
    if ('problem' in endpoint) throw new UnreadableValue(endpoint.problem);
    endpoints.push(endpoint);
  }
  if (endpoints.length === 0) throw new UnreadableValue('no endpoint of a known protocol');
  return endpoints;
};
