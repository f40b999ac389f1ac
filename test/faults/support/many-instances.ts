import { TestProcess, eventually } from '../../support/child-process.js';
import { SteadyLoad, echoClient, say } from '../../support/echo-client.js';
import { Following, TestApplication, cacheEqualsEtcd } from './fleet.js';
import type { RowContext } from './row-context.js';

const INSTANCES = 10;
const CLIENTS = 3;

/** Three services of ten instances each, one lease per instance, and three client applications that know all of them. */
export class ManyInstances {
  private readonly processes: TestProcess[] = [];
  private readonly clients: TestApplication[] = [];
  private readonly followings: Following[] = [];
  /** Counted from when everything stood. */
  private told: number[] = [];

  private constructor(
    private readonly row: RowContext,
    readonly services: readonly string[],
  ) {}

  /** Resolves when every client shows every instance. */
  static async start(row: RowContext, endpoints: readonly string[], { name }: { name: string }) {
    const services = ['a', 'b', 'c'].map((letter) => `${name}-${letter}`);
    const many = new ManyInstances(row, services);
    const env = { APP_ETCD: endpoints.join(','), APP_NAMESPACE: row.namespace, APP_TTL: `${row.ttlMs}ms` };
    for (const service of services) {
      const file = 'dist/test/fixtures/many-servers.js';
      const process = TestProcess.node(file, [service, String(INSTANCES)], env);
      many.processes.push(row.defer(process, (started) => started.dispose()));
    }
    await Promise.all(many.processes.map((process) => process.message('listening')));
    for (let n = 0; n < CLIENTS; n++) {
      const options = Object.fromEntries(services.map((each) => [each, { retryableMethods: ['echo.v1.Echo/Say'] }]));
      const client = await TestApplication.start(row, { etcd: { endpoints: [...endpoints] }, services: options });
      many.clients.push(client);
      many.followings.push(...services.map((service) => new Following(client.discovery, service)));
    }
    await eventually('every client shows every instance', () => many.missing() === 0, 20_000);
    many.told = many.followings.map(({ told }) => told.length);
    return many;
  }

  /**
   * 70 calls a second to each service, from the first client, once that is connected to every instance; the function it
   * resolves with ends them and counts.
   */
  async load(): Promise<() => Promise<{ calls: number; failed: number }>> {
    const stubs = this.services.map((service) =>
      this.row.defer(echoClient(`etcd://${this.clients[0]!.connection}/${service}`), (open) => open.close()),
    );
    await eventually('every instance is connected', async () => {
      await Promise.all(stubs.map((stub) => say(stub, 'connect').catch(() => undefined)));
      return this.services.every((service) => this.connected(service) === INSTANCES);
    });
    const loads = stubs.map((stub) => {
      const load = new SteadyLoad((text) => say(stub, text, 0, 1_000), 70);
      return this.row.defer(load, (running) => running.stop());
    });
    return async () => {
      const results = await Promise.all(loads.map((load) => load.stop()));
      const failures = results.flatMap((result) => result.failures);
      if (failures.length > 0) console.log([...new Set(failures)].slice(0, 5).join('; '));
      return { calls: results.reduce((sum, { calls }) => sum + calls, 0), failed: failures.length };
    };
  }

  /** Fewest instances any client showed of any service. */
  lowest(): number {
    return Math.min(...this.followings.map((following, at) => following.lowest(this.told[at])));
  }

  /** What the client that showed the fewest was told meanwhile, for messages. */
  story(): string {
    const lows = this.followings.map((following, at) => following.lowest(this.told[at]));
    const worst = lows.indexOf(Math.min(...lows));
    return `client ${Math.floor(worst / this.services.length)}: ${this.followings[worst]!.story()}`;
  }

  /** Instances that are not shown, over all clients. */
  missing(): number {
    return this.followings.reduce((sum, { size }) => sum + INSTANCES - size, 0);
  }

  /** Resolves with how long it took until every client's cache of every service equals etcd, ms. */
  async equalEtcd(etcd: string): Promise<number> {
    const each = this.clients.flatMap(({ discovery }) =>
      this.services.map((service) => cacheEqualsEtcd(this.row, discovery, etcd, service)),
    );
    return Math.max(...(await Promise.all(each)));
  }

  private connected(service: string): number {
    const { instances = [] } = this.clients[0]!.discovery.describe(service).clients[0] ?? {};
    return instances.filter(({ state }) => state === 'ready').length;
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.dispose()));
    for (const client of this.clients) await client.close();
  }
}
