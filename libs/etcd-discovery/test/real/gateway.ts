import { setTimeout as delay } from 'node:timers/promises';
import type { EtcdServer } from '../../../../test/support/etcd-server.js';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';

const REQUEST_MS = 2_000;
/** A read is asked for so often before etcd counts as dead. */
const READS = 5;

interface JsonKey {
  readonly key: string;
  readonly value?: string;
  readonly create_revision: string;
  readonly mod_revision: string;
  readonly version: string;
  readonly lease?: string;
}

const encoded = (text: string): string => Buffer.from(text).toString('base64');

/** etcd through its JSON gateway: what others write and read, without any of the code under test. */
export class Gateway {
  constructor(private readonly server: EtcdServer) {}

  async put(key: string, value: string, lease = '0'): Promise<void> {
    await this.server.call('kv/put', { key: encoded(key), value: encoded(value), lease }, REQUEST_MS);
  }

  /** All of them in one revision. */
  async putAll(values: ReadonlyMap<string, string>, lease: string): Promise<void> {
    const success = [...values].map(([key, value]) => ({
      requestPut: { key: encoded(key), value: encoded(value), lease },
    }));
    await this.server.call('kv/txn', { success }, REQUEST_MS);
  }

  async delete(key: string): Promise<void> {
    await this.server.call('kv/deleterange', { key: encoded(key) }, REQUEST_MS);
  }

  /** Everything below `<namespace>/`, at one revision. */
  async read(namespace: string): Promise<{ readonly revision: number; readonly kvs: readonly EtcdKeyValue[] }> {
    const range = { key: encoded(`${namespace}/`), range_end: encoded(`${namespace}0`) };
    const answer = (await this.patiently(() => this.server.call('kv/range', range, REQUEST_MS))) as {
      header: { revision: string };
      kvs?: JsonKey[];
    };
    const kvs = (answer.kvs ?? []).map((kv) => ({
      key: Buffer.from(kv.key, 'base64').toString(),
      value: Buffer.from(kv.value ?? '', 'base64'),
      createRevision: Number(kv.create_revision),
      modRevision: Number(kv.mod_revision),
      version: Number(kv.version),
      lease: kv.lease ?? '0',
    }));
    return { revision: Number(answer.header.revision), kvs };
  }

  async grant(ttlSeconds: number): Promise<string> {
    const { ID } = (await this.server.call('lease/grant', { TTL: ttlSeconds, ID: 0 }, REQUEST_MS)) as { ID: string };
    return ID;
  }

  async revoke(lease: string): Promise<void> {
    await this.server.call('lease/revoke', { ID: lease }, REQUEST_MS);
  }

  async leases(): Promise<string[]> {
    const { leases = [] } = (await this.patiently(() => this.server.call('lease/leases', {}, REQUEST_MS))) as {
      leases?: { ID: string }[];
    };
    return leases.map(({ ID }) => ID);
  }

  async compact(): Promise<void> {
    const { header } = (await this.server.call('maintenance/status', {}, REQUEST_MS)) as {
      header: { revision: string };
    };
    const request = { revision: header.revision, physical: true };
    await this.server.call('kv/compaction', request, REQUEST_MS).catch((error: unknown) => {
      // Nothing has been written since the last time.
      if (!String(error).includes('has been compacted')) throw error;
    });
  }

  /** A connection kept alive may be that to the etcd of before. */
  private async patiently<T>(read: () => Promise<T>): Promise<T> {
    for (let left = READS; ;) {
      try {
        return await read();
      } catch (error) {
        if (--left === 0) throw error;
        await delay(20);
      }
    }
  }
}
