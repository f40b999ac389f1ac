import { expect } from 'vitest';
import { EtcdServer } from '../../../../../test/support/etcd-server.js';
import { EmbeddedEtcd } from '../../../src/testing/embedded-etcd.js';
import type { EtcdService } from '../../../src/testing/embedded/etcd.proto.js';
import { type Baseline, comparable } from './comparable.js';
import { type Message, type Outcome, RawEtcd } from './raw-etcd.js';

/** etcd's own default timing, which decides the shortest lease; the data need not outlive the test. */
const ETCD_FLAGS = ['--heartbeat-interval', '100', '--election-timeout', '1000', '--unsafe-no-fsync'];

/** A real etcd and an embedded one, both new, that nobody else writes to: the same calls must end in the same way. */
export class Pair implements AsyncDisposable {
  private constructor(
    private readonly server: EtcdServer,
    readonly etcd: EmbeddedEtcd,
    readonly real: RawEtcd,
    readonly embedded: RawEtcd,
  ) {}

  static async start(): Promise<Pair> {
    const server = await EtcdServer.start({ args: ETCD_FLAGS });
    const etcd = await EmbeddedEtcd.start();
    return new Pair(server, etcd, new RawEtcd(server.endpoint), new RawEtcd(etcd.endpoint));
  }

  async stop(): Promise<void> {
    this.real.close();
    this.embedded.close();
    await Promise.all([this.etcd.close(), this.server.stop()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  both<T>(step: (client: RawEtcd) => Promise<T>): Promise<[real: T, embedded: T]> {
    return Promise.all([step(this.real), step(this.embedded)]);
  }

  /** Calls both and expects the same outcome, field by field; returns the embedded one's. */
  async same(service: EtcdService, method: string, request: Message = {}, base: Baseline = { revision: 0 }) {
    return this.sameOutcome((client) => client.call(service, method, request), base, `${service}.${method}`);
  }

  async sameOutcome(
    step: (client: RawEtcd) => Promise<Outcome>,
    base: Baseline = { revision: 0 },
    what = 'outcome',
  ): Promise<Outcome> {
    const [real, embedded] = await this.both(step);
    expect(comparable(embedded, base), what).toEqual(comparable(real, base));
    return embedded;
  }
}
