import { Etcd3 } from 'etcd3';

/** Pages as large as the library's own. */
const PAGE = 1_000;
/** Puts in one transaction, below etcd's limit of 128. */
const BATCH = 100;

export interface RawValue {
  readonly key: string;
  readonly modRevision: number;
  readonly value: { readonly weight?: number; readonly status?: string };
}

/** etcd through its driver and nothing else: what the library is measured against, and who changes what it watches. */
export class RawEtcd {
  private readonly driver: Etcd3;

  constructor(endpoint: string) {
    this.driver = new Etcd3({ hosts: [`http://${endpoint}`], grpcOptions: { 'grpc.enable_http_proxy': 0 } });
  }

  /** All there is under a prefix, in pages at one revision, each value parsed: the least that a list of instances costs. */
  async list(prefix: string): Promise<RawValue[]> {
    const values: RawValue[] = [];
    const range_end = Buffer.from(prefix);
    range_end[range_end.length - 1]! += 1;
    let key = Buffer.from(prefix);
    for (let revision: string | number = 0; ;) {
      const page = await this.driver.kv.range({ key, range_end, limit: PAGE, revision });
      for (const kv of page.kvs) {
        values.push({
          key: kv.key.toString(),
          modRevision: Number(kv.mod_revision),
          value: JSON.parse(kv.value.toString()) as RawValue['value'],
        });
      }
      const last = page.kvs.at(-1);
      if (!page.more || !last) return values;
      revision ||= page.header.revision;
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  async seed(records: Iterable<readonly [key: string, value: string]>): Promise<void> {
    const iterator = records[Symbol.iterator]();
    const worker = async () => {
      for (;;) {
        const puts: { request_put: { key: Buffer; value: Buffer } }[] = [];
        while (puts.length < BATCH) {
          const next = iterator.next();
          if (next.done) break;
          const [key, value] = next.value;
          puts.push({ request_put: { key: Buffer.from(key), value: Buffer.from(value) } });
        }
        if (puts.length === 0) return;
        await this.driver.kv.txn({ compare: [], success: puts, failure: [] });
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  }

  async put(key: string, value: string): Promise<void> {
    await this.driver.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
  }

  async delete(key: string): Promise<void> {
    await this.driver.kv.deleteRange({ key: Buffer.from(key) });
  }

  close(): void {
    this.driver.close();
  }
}
