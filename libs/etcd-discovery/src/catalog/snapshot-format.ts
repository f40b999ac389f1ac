import { endpointUrl } from '../instance/instance-endpoint.js';
import { instanceKey } from '../instance/instance-key.js';
import { isReadableName } from '../instance/names.js';
import type { InstanceFormat, ServiceInstance } from '../instance/service-instance.js';
import type { KeyReader } from './key-reader.js';

/**
 * The text of a snapshot file, between the line that says what it is and the checksum (`snapshot-file.ts`). One JSON
 * object a line: the header, then each service followed by its instances. An instance is two objects with a tab between
 * them: where it lay in etcd, and a value as etcd could hold it, which is read by the same code as etcd's.
 */
export interface SnapshotHeader {
  readonly namespace: string;
  /** Of etcd, as in the options: they tell one cluster from another while none can be asked. */
  readonly endpoints: readonly string[];
  /** ISO 8601. */
  readonly savedAt: string;
}

/** What etcd said of one service, and when it last stood by it. */
export interface RememberedService {
  /** Wall clock, milliseconds. */
  readonly asOf: number;
  readonly instances: readonly ServiceInstance[];
}

/** Instances in one piece of text, and between two turns of the event loop: about 1 ms of work. */
export const INSTANCES_PER_TURN = 50;

const FORMATS: ReadonlySet<unknown> = new Set<InstanceFormat>([
  'native',
  'etcd-naming',
  'kratos',
  'kitex',
  'go-zero',
  'go-micro',
  'plain',
]);

/** Instances of the options are no news of etcd's. */
export const learntFromEtcd = (instances: readonly ServiceInstance[]): ServiceInstance[] =>
  instances.filter(({ format }) => format !== 'static');

/** The key an instance was read from. The plain key of a service is its id; no other id has a slash. */
export const keyOf = (namespace: string, { service, id }: Pick<ServiceInstance, 'service' | 'id'>): string =>
  id.includes('/') ? id : instanceKey(namespace, service, id);

/** The text, in pieces that each take a moment to make. A service without instances is left out. */
export function* encodeSnapshot(
  header: SnapshotHeader,
  services: Iterable<readonly [string, RememberedService]>,
): Generator<string> {
  yield `${JSON.stringify(header)}\n`;
  for (const [service, { asOf, instances }] of services) {
    const learnt = learntFromEtcd(instances);
    if (learnt.length === 0) continue;
    let text = `${JSON.stringify({ service, asOf: new Date(asOf).toISOString() })}\n`;
    for (let at = 0; at < learnt.length; at += INSTANCES_PER_TURN) {
      text += learnt
        .slice(at, at + INSTANCES_PER_TURN)
        .map(encodeLine)
        .join('');
      yield text;
      text = '';
    }
  }
}

/** `zone` and `weight` in the metadata of foreign values are not kept: they are fields of the instance. */
const encodeLine = (instance: ServiceInstance): string => {
  const { id, service, endpoints, version, zone, weight, metadata, registeredAt, format } = instance;
  const { createRevision, modRevision } = instance;
  const place = JSON.stringify({ id, createRevision, modRevision, format });
  const value = JSON.stringify({
    name: service,
    version,
    metadata: zone === undefined ? metadata : { ...metadata, zone },
    endpoints: endpoints.map(endpointUrl),
    weight,
    status: 'up',
    // Any text makes it a value of ours; one that is no date is no date.
    registeredAt: registeredAt?.toISOString() ?? 'unknown',
  });
  return `${place}\t${value}\n`;
};

/** Undefined for a line that is no header. */
export const decodeHeader = (line: string): SnapshotHeader | undefined => {
  const { namespace, endpoints, savedAt } = jsonObject(line);
  return typeof namespace === 'string' && typeof savedAt === 'string' && isTextList(endpoints)
    ? { namespace, endpoints, savedAt }
    : undefined;
};

/**
 * Reads the lines after the header one by one. Whoever can write the file is trusted no more than whoever can write to
 * etcd: values pass the same reader and the same policy of addresses, and what does not is left out and counted.
 */
export class SnapshotDecoder {
  readonly services = new Map<string, { readonly asOf: number; readonly instances: ServiceInstance[] }>();
  skipped = 0;
  private current: string | undefined;

  constructor(
    private readonly namespace: string,
    private readonly reader: KeyReader,
  ) {}

  read(line: string): void {
    const tab = line.indexOf('\t');
    if (tab < 0) return this.readService(line);
    const instance = this.instanceOf(jsonObject(line.slice(0, tab)), line.slice(tab + 1));
    if (instance) this.services.get(instance.service)?.instances.push(instance);
    else this.skipped += 1;
  }

  private readService(line: string): void {
    const { service, asOf } = jsonObject(line);
    const time = typeof asOf === 'string' ? Date.parse(asOf) : Number.NaN;
    this.current = undefined;
    if (typeof service !== 'string' || !isReadableName(service) || Number.isNaN(time) || this.services.has(service)) {
      this.skipped += 1;
      return;
    }
    this.current = service;
    this.services.set(service, { asOf: time, instances: [] });
  }

  private instanceOf(place: Record<string, unknown>, value: string): ServiceInstance | undefined {
    const { current: service, namespace } = this;
    const { id, createRevision, modRevision, format } = place;
    if (service === undefined || typeof id !== 'string' || !FORMATS.has(format)) return undefined;
    if (!isRevision(createRevision) || !isRevision(modRevision)) return undefined;
    const key = keyOf(namespace, { service, id });
    const kv = { key, value: Buffer.from(value), createRevision, modRevision, version: 1, lease: '0' };
    const located = this.reader.read(kv);
    const instance = located?.known.instance;
    if (located?.service !== service || instance?.status !== 'up') return undefined;
    return Object.freeze({ ...instance, format: format as InstanceFormat });
  }
}

const jsonObject = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

const isRevision = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
