export const SERVICES = 100;

export const serviceName = (index: number): string => `service-${index % SERVICES}`;

/** Ids as the library makes them: the host's name and 12 random characters; here they follow from the number. */
const idOf = (index: number): string => {
  const random = Math.imul(index + 1, 0x9e3779b1) >>> 0;
  return `host-${index % 977}-${random.toString(36).padStart(7, '0')}${(index % 46_656).toString(36).padStart(5, '0')}`;
};

export const keyOf = (namespace: string, index: number, service = serviceName(index)): string =>
  `${namespace}/${service}/${idOf(index)}`;

export interface RecordFields {
  readonly service?: string;
  /** Default: one of 2^24 in 10.0.0.0/8, by the index. */
  readonly address?: string;
  readonly weight?: number;
}

/** A value as the library writes it, with the metadata of an ordinary deployment; about 450 bytes. */
export const valueOf = (index: number, fields: RecordFields = {}): string => {
  const { service = serviceName(index), weight = 10 } = fields;
  const address = fields.address ?? `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}:50051`;
  const zone = `eu-1${'abc'[index % 3]}`;
  const own = { team: 'payments', commit: `3f2a9c1${index % 7}`, pod: `${service}-${index.toString(36)}` };
  return JSON.stringify({
    Op: 0,
    Addr: address,
    id: idOf(index),
    name: service,
    version: `1.2.${index % 5}`,
    metadata: { zone, weight: String(weight), ...own },
    endpoints: [`grpc://${address}`],
    network: 'tcp',
    address,
    weight,
    tags: { zone, ...own },
    status: 'up',
    registeredAt: new Date(Date.UTC(2026, 0, 31) + index * 1_000).toISOString(),
  });
};
