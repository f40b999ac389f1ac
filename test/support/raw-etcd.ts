import { Etcd3 } from 'etcd3';

export interface RawKey {
  readonly key: string;
  readonly value: Record<string, unknown>;
  readonly lease: string;
}

/** etcd as another program sees it, without the library under test. */
export class RawEtcd {
  private readonly client: Etcd3;

  /** @param endpoints `host:port`, one or several */
  constructor(endpoints: string | readonly string[], auth?: { readonly username: string; readonly password: string }) {
    const hosts = [endpoints].flat().map((endpoint) => `http://${endpoint}`);
    this.client = new Etcd3({ hosts, grpcOptions: { 'grpc.enable_http_proxy': 0 }, ...(auth && { auth }) });
  }

  async keys(prefix: string): Promise<RawKey[]> {
    const { kvs } = await this.client.getAll().prefix(prefix).exec();
    return kvs.map((kv) => ({
      key: kv.key.toString(),
      value: JSON.parse(kv.value.toString()) as Record<string, unknown>,
      lease: kv.lease,
    }));
  }

  async grantedTtl(lease: string): Promise<number> {
    const { grantedTTL } = await this.client.leaseClient.leaseTimeToLive({ ID: lease, keys: false });
    return Number(grantedTTL);
  }

  /** What is left of the lease, whole seconds; −1 when it is gone. */
  async remainingTtl(lease: string): Promise<number> {
    const { TTL } = await this.client.leaseClient.leaseTimeToLive({ ID: lease, keys: false });
    return Number(TTL);
  }

  async revoke(lease: string): Promise<void> {
    await this.client.leaseClient.leaseRevoke({ ID: lease });
  }

  async leases(): Promise<string[]> {
    const { leases } = await this.client.leaseClient.leaseLeases();
    return leases.map(({ ID }) => ID);
  }

  async delete(key: string): Promise<void> {
    await this.client.delete().key(key);
  }

  async put(key: string, value: string | Buffer): Promise<void> {
    await this.client.put(key).value(value);
  }

  /** Every change under the prefix from now on, as etcd sends it; resolves when etcd has accepted the watch. */
  async watch(prefix: string, onChange: (type: 'put' | 'delete', key: string) => void): Promise<void> {
    const stream = await this.client.watchClient.watch();
    const end = Buffer.from(prefix);
    end[end.length - 1]! += 1;
    const accepted = new Promise<void>((resolve, reject) => {
      stream.on('error', reject);
      stream.on('data', ({ created, events }) => {
        for (const { type, kv } of events) onChange(type === 'Put' ? 'put' : 'delete', kv.key.toString());
        if (created) resolve();
      });
    });
    stream.write({ create_request: { key: Buffer.from(prefix), range_end: end } });
    await accepted;
  }

  /** All at one revision; at most 128, etcd's limit of operations. */
  async change(puts: Readonly<Record<string, string | Buffer>>, deletes: readonly string[] = []): Promise<void> {
    await this.client
      .if('\0', 'Version', '==', 0)
      .then(
        ...Object.entries(puts).map(([key, value]) => this.client.put(key).value(value)),
        ...deletes.map((key) => this.client.delete().key(key)),
      )
      .commit();
  }

  async revision(): Promise<number> {
    const { header } = await this.client.getAll().prefix('\0').limit(1).exec();
    return Number(header.revision);
  }

  /** Compacts the history up to now. */
  async compact(): Promise<void> {
    await this.client.kv.compact({ revision: await this.revision(), physical: true });
  }

  close(): void {
    this.client.close();
  }
}
