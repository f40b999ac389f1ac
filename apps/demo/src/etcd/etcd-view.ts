import { Etcd3 } from 'etcd3';

/** An instance as etcd holds it right now. */
export interface StoredInstance {
  readonly id: string;
  readonly address: string;
  readonly zone: string;
  readonly weight: number;
  readonly pid: number | undefined;
  readonly status: string;
  /** Hexadecimal, as `etcdctl lease` prints it. */
  readonly lease: string;
  readonly leaseSecondsLeft: number | undefined;
}

const TIMEOUT_MS = 1_500;

/**
 * Reads what is in etcd with a plain client, without any part of the library: what is shown is what is stored, not what
 * the library believes.
 */
export class EtcdView {
  /** What the last read that failed said. */
  error: string | undefined;
  private client: Etcd3 | undefined;

  constructor(
    private readonly endpoints: string,
    private readonly namespace: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** @returns undefined while etcd does not answer */
  async read(service: string): Promise<readonly StoredInstance[] | undefined> {
    // The driver stops asking for seconds after a failure; a new client does not.
    const client = (this.client ??= this.connect());
    const prefix = `${this.namespace}/${service}/`;
    try {
      const { kvs } = await client.getAll().prefix(prefix).exec();
      return await Promise.all(
        kvs.map(async ({ key, value, lease }) => {
          const { TTL } = await client.leaseClient.leaseTimeToLive({ ID: lease, keys: false });
          return parseStored(key.toString().slice(prefix.length), value.toString(), lease, Number(TTL));
        }),
      );
    } catch (error) {
      this.error = (error as Error).message;
      this.close();
      return undefined;
    }
  }

  close(): void {
    this.client?.close();
    this.client = undefined;
  }

  private connect(): Etcd3 {
    const { ETCD_USERNAME: username, ETCD_PASSWORD: password } = this.env;
    return new Etcd3({
      hosts: this.endpoints.split(',').map((endpoint) => endpoint.trim()),
      ...(username && password ? { auth: { username, password } } : {}),
      dialTimeout: TIMEOUT_MS,
      defaultCallOptions: () => ({ deadline: Date.now() + TIMEOUT_MS }),
    });
  }
}

/** A value that cannot be read is shown as such; a view that fails on it would hide it. */
export function parseStored(id: string, value: string, lease: string, ttl: number): StoredInstance {
  let record: Partial<Record<'address' | 'Addr' | 'status', string>> & {
    weight?: number;
    metadata?: Record<string, string>;
  } = {};
  try {
    record = JSON.parse(value) as typeof record;
  } catch {
    record = { status: 'unreadable' };
  }
  const pid = Number(record.metadata?.['pid']);
  return {
    id,
    address: record.address ?? record.Addr ?? '?',
    zone: record.metadata?.['zone'] ?? '-',
    weight: record.weight ?? 0,
    pid: Number.isInteger(pid) && pid > 0 ? pid : undefined,
    status: record.status ?? 'up',
    lease: BigInt(lease).toString(16),
    leaseSecondsLeft: ttl > 0 ? ttl : undefined,
  };
}
