import { Etcd3, type Watcher } from 'etcd3';

export interface StandingKey {
  readonly lease: string;
  /** Revision of the put that made it. */
  readonly createdAt: number;
}

/** Every key under a prefix as a raw client sees it come and go, without the library under test. */
export class KeyJournal {
  /** The keys that stand now. */
  readonly standing = new Map<string, StandingKey>();
  /** Puts and deletions seen so far, with the monotonic time at which they were seen, ms. */
  readonly entries: { readonly type: 'put' | 'delete'; readonly key: string; readonly at: number }[] = [];
  private readonly listeners = new Set<() => void>();

  private constructor(
    private readonly client: Etcd3,
    private readonly watcher: Watcher,
  ) {
    watcher.on('put', ({ key, lease, create_revision: created }) => {
      this.standing.set(key.toString(), { lease, createdAt: Number(created) });
      this.note('put', key.toString());
    });
    watcher.on('delete', ({ key }) => {
      this.standing.delete(key.toString());
      this.note('delete', key.toString());
    });
  }

  static async open(endpoint: string, prefix: string): Promise<KeyJournal> {
    const client = new Etcd3({ hosts: [`http://${endpoint}`], grpcOptions: { 'grpc.enable_http_proxy': 0 } });
    const watcher = await client.watch().prefix(prefix).create();
    const journal = new KeyJournal(client, watcher);
    for (const { key, lease, create_revision: created } of (await client.getAll().prefix(prefix).exec()).kvs) {
      journal.standing.set(key.toString(), { lease, createdAt: Number(created) });
    }
    return journal;
  }

  async revoke(lease: string): Promise<void> {
    await this.client.leaseClient.leaseRevoke({ ID: lease });
  }

  async delete(key: string): Promise<void> {
    await this.client.delete().key(key);
  }

  /** Calls back after every change; the returned function unsubscribes. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Resolves as soon as `holds()` does. @throws when it does not within `timeoutMs` */
  until(what: string, holds: () => boolean, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (holds()) end(resolve);
      };
      const end = (settle: () => void) => {
        unsubscribe();
        clearTimeout(timer);
        settle();
      };
      const timer = setTimeout(() => end(() => reject(new Error(`${what}: not within ${timeoutMs} ms`))), timeoutMs);
      const unsubscribe = this.onChange(look);
      look();
    });
  }

  async close(): Promise<void> {
    await this.watcher.cancel();
    this.client.close();
  }

  private note(type: 'put' | 'delete', key: string): void {
    this.entries.push({ type, key, at: performance.now() });
    for (const listener of this.listeners) listener();
  }
}
