import { Etcd3, type IWatchResponse, type Watcher } from 'etcd3';

/** Every event under a prefix, as etcd tells them to a plain watcher; for faults that spare this watcher's connection. */
export class EtcdWatchRecord {
  readonly events: { readonly type: 'put' | 'delete'; readonly key: string; readonly value: string }[] = [];

  private constructor(
    private readonly client: Etcd3,
    private readonly watcher: Watcher,
  ) {}

  /** Resolves when etcd has accepted the watch. */
  static async start(endpoint: string, prefix: string): Promise<EtcdWatchRecord> {
    const client = new Etcd3({ hosts: [`http://${endpoint}`], grpcOptions: { 'grpc.enable_http_proxy': 0 } });
    const watcher = await client.watch().prefix(prefix).create();
    const record = new EtcdWatchRecord(client, watcher);
    watcher.on('data', ({ events }: IWatchResponse) => {
      for (const { type, kv } of events) {
        record.events.push({
          type: type === 'Put' ? 'put' : 'delete',
          key: kv.key.toString(),
          value: kv.value.toString(),
        });
      }
    });
    return record;
  }

  async stop(): Promise<void> {
    // A watcher of etcd3 outlives its client: it would keep the process.
    await this.watcher.cancel().catch(() => {});
    this.client.close();
  }
}
