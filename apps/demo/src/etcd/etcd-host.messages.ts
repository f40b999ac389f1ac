/** What the demo tells the process that holds its etcd. */
export type EtcdHostCommand =
  | { readonly type: 'restart'; readonly downMs: number }
  /** Stop etcd, remove its data, end. */
  | { readonly type: 'stop' };

/** What that process answers. */
export type EtcdHostMessage =
  | { readonly type: 'up'; readonly endpoint: string; readonly description: string }
  | { readonly type: 'failed'; readonly message: string };

/** An etcd that the demo owns. */
export interface OwnEtcd {
  readonly endpoint: string;
  /** For one line of output: `etcd 3.4.23 (/usr/bin/etcd)`. */
  readonly description: string;
  /** Stops it, waits, and starts it again on the same port with the same data. */
  restart(downMs: number): Promise<void>;
  close(): Promise<void>;
}
