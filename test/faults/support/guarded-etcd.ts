import { EtcdRelay } from '../../support/etcd-relay.js';
import { EtcdServer } from '../../support/etcd-server.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import { RawEtcd } from '../../support/raw-etcd.js';
import type { TestProcess } from '../../support/child-process.js';
import { Fleet } from './fleet.js';
import { News } from './news.js';
import type { RowContext } from './row-context.js';

const ROOT = { username: 'root', password: 'root-word' };
export const USER = { username: 'app', password: 'S3cret-of-the-app' };

interface WatchAnswer {
  readonly canceled: boolean;
  readonly cancel_reason: string;
}

/** The way of one process to etcd: what breaks connections, and behind it what counts requests. */
export class CountedWay {
  /** When a log-in was asked for, ms. */
  readonly logins: number[] = [];
  /** Why etcd refused or ended watches. */
  readonly refusedWatches: string[] = [];

  private constructor(
    readonly proxy: FaultProxy,
    readonly relay: EtcdRelay,
  ) {
    relay.intercept('Auth/Authenticate', 'request', (message) => {
      this.logins.push(performance.now());
      return [message];
    });
    relay.intercept<WatchAnswer>('Watch/Watch', 'response', (message) => {
      if (message.canceled && message.cancel_reason) this.refusedWatches.push(message.cancel_reason);
      return [message];
    });
  }

  static async open(row: RowContext, target: string): Promise<CountedWay> {
    const relay = row.defer(await EtcdRelay.start(target), (open) => open.stop());
    const proxy = row.defer(await FaultProxy.start(relay.endpoint), (open) => open.stop());
    return new CountedWay(proxy, relay);
  }

  get endpoint(): string {
    return this.proxy.endpoint;
  }
}

export interface GuardedServer {
  readonly process: TestProcess;
  readonly way: CountedWay;
}

/** An etcd that asks for user and password; three servers and a client that know them, each with a way of its own. */
export class GuardedWorld {
  private constructor(
    private readonly row: RowContext,
    readonly etcd: EtcdServer,
    /** As root. */
    readonly raw: RawEtcd,
    readonly client: CountedWay,
    readonly fleet: Fleet,
    readonly servers: readonly GuardedServer[],
    readonly news: News,
  ) {}

  /** @param tokenTtlS how long a token lives that nobody uses; etcd's default is 300 s */
  static async start(row: RowContext, { tokenTtlS = 300 } = {}): Promise<GuardedWorld> {
    // etcd's default of 10 is 80 ms of its CPU per log-in, which is not what is measured here.
    const args = ['--auth-token-ttl', String(tokenTtlS), '--bcrypt-cost', '4'];
    const etcd = row.defer(await EtcdServer.start({ args }), (server) => server.stop());
    await etcd.etcdctl('user', 'add', `${ROOT.username}:${ROOT.password}`);
    await etcd.etcdctl('user', 'grant-role', 'root', 'root');
    await etcd.etcdctl('user', 'add', `${USER.username}:${USER.password}`);
    await etcd.etcdctl('role', 'add', 'app');
    await etcd.etcdctl('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', `${row.namespace}/`);
    await etcd.etcdctl('user', 'grant-role', USER.username, 'app');
    await etcd.etcdctl('auth', 'enable');
    const raw = row.defer(new RawEtcd(etcd.endpoint, ROOT), (open) => open.close());
    const client = await CountedWay.open(row, etcd.endpoint);
    const fleet = await Fleet.start(row, {
      etcd: client.endpoint,
      servers: 0,
      env: { APP_USERNAME: USER.username, APP_PASSWORD: USER.password },
      client: { etcd: { endpoints: [client.endpoint], ...USER } },
    });
    const servers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const way = await CountedWay.open(row, etcd.endpoint);
        return { process: await fleet.addServer({ APP_ETCD: way.endpoint }), way };
      }),
    );
    await fleet.allReady(3);
    return new GuardedWorld(row, etcd, raw, client, fleet, servers, new News(row, raw));
  }

  get ways(): CountedWay[] {
    return [this.client, ...this.servers.map(({ way }) => way)];
  }

  /** Takes from the processes' role what it may, or gives it back. */
  async permit(allowed: boolean): Promise<void> {
    const what = allowed
      ? ['grant-permission', 'app', '--prefix=true', 'readwrite']
      : ['revoke-permission', 'app', '--prefix=true'];
    await this.asRoot('role', ...what, `${this.row.namespace}/`);
  }

  /** Gives the processes' user another password; tokens issued before are void. */
  async setPassword(password: string): Promise<void> {
    // `user passwd` reads from a terminal; this needs none.
    await this.asRoot('user', 'delete', USER.username);
    await this.asRoot('user', 'add', `${USER.username}:${password}`);
    await this.asRoot('user', 'grant-role', USER.username, 'app');
  }

  private asRoot(...args: string[]): Promise<string> {
    return this.etcd.etcdctl('--command-timeout', '30s', '--user', `${ROOT.username}:${ROOT.password}`, ...args);
  }
}
