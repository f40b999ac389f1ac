import { Etcd3 } from 'etcd3';

/** Requests of the crowd under way at a time. */
const AT_ONCE = 32;

/** Each at an address of its own on this machine, where nobody listens: like processes that were killed. */
const addressOf = (number: number): string => `127.1.${Math.floor(number / 250)}.${(number % 250) + 1}:9`;

/** Instances with a lease each, as so many processes hold them, without the processes. */
export class Crowd {
  private readonly client: Etcd3;
  private leases: readonly string[] = [];

  constructor(
    endpoint: string,
    private readonly namespace: string,
    readonly service: string,
  ) {
    this.client = new Etcd3({ hosts: [`http://${endpoint}`], grpcOptions: { 'grpc.enable_http_proxy': 0 } });
  }

  /** Registers `size` instances; resolves when all are in etcd. */
  async register(size: number, ttlMs: number): Promise<void> {
    const leases: string[] = [];
    const worker = async (first: number): Promise<void> => {
      for (let number = first; number < size; number += AT_ONCE) {
        const { ID } = await this.client.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1_000) });
        const key = Buffer.from(`${this.namespace}/${this.service}/c${number}`);
        await this.client.kv.put({ key, value: Buffer.from(this.value(number)), lease: ID });
        leases.push(ID);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => worker(first)));
    this.leases = leases;
  }

  /** Renews every lease once; resolves when the last is. */
  async renew(): Promise<void> {
    const stream = await this.client.leaseClient.leaseKeepAlive();
    await new Promise<void>((resolve, reject) => {
      let renewed = 0;
      stream.on('error', reject);
      stream.on('data', ({ TTL }) => {
        if (Number(TTL) <= 0) reject(new Error('a lease ran out before the crowd was complete'));
        if (++renewed === this.leases.length) resolve();
      });
      for (const ID of this.leases) stream.write({ ID });
    });
    stream.end();
  }

  close(): void {
    this.client.close();
  }

  private value(number: number): string {
    const address = addressOf(number);
    const endpoints = [`grpc://${address}`];
    const rest = { status: 'up', registeredAt: '2026-01-31T12:00:00.000Z' };
    return JSON.stringify({ Op: 0, Addr: address, id: `c${number}`, name: this.service, endpoints, address, ...rest });
  }
}
