import { eventually } from '../../support/child-process.js';
import { FaultProxy } from '../../support/fault-proxy.js';
import type { RawEtcd } from '../../support/raw-etcd.js';
import type { Fleet } from './fleet.js';
import type { RowContext } from './row-context.js';

/** The ways of one process to etcd: a proxy of its own per endpoint. */
export class Ways {
  private constructor(readonly proxies: readonly FaultProxy[]) {}

  /** @param count endpoints; all lead to `target` */
  static async open(row: RowContext, target: string, count = 1): Promise<Ways> {
    const proxies = await Promise.all(Array.from({ length: count }, () => FaultProxy.start(target)));
    for (const proxy of proxies) row.defer(proxy, (open) => open.stop());
    return new Ways(proxies);
  }

  get endpoints(): string[] {
    return this.proxies.map(({ endpoint }) => endpoint);
  }

  get first(): FaultProxy {
    return this.proxies[0]!;
  }

  /** Connections made so far. */
  get accepted(): number {
    return this.proxies.reduce((sum, { accepted }) => sum + accepted, 0);
  }

  /** Does it to every way. */
  each(fault: (proxy: FaultProxy) => void): void {
    for (const proxy of this.proxies) fault(proxy);
  }
}

/** Starts a server of the fleet behind ways of its own. With several, it uses the first; the others are free. */
export const addServerBehind = async (row: RowContext, fleet: Fleet, target: string, count = 1): Promise<Ways> => {
  const ways = await Ways.open(row, target, count);
  await onFirst(ways, () => fleet.addServer({ APP_ETCD: ways.endpoints.join(',') }));
  return ways;
};

/** A process picks its first endpoint by chance: whatever `start` starts finds only the first one open. */
export const onFirst = async <T>({ proxies }: Ways, start: () => Promise<T>): Promise<T> => {
  for (const proxy of proxies.slice(1)) proxy.refuse();
  try {
    return await start();
  } finally {
    for (const proxy of proxies.slice(1)) proxy.pass();
  }
};

/** Resolves with how long it took, ms, until `check` held. */
export const timeUntil = async (
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<number> => {
  const startedAt = performance.now();
  await eventually(what, check, timeoutMs);
  return performance.now() - startedAt;
};

/** Resolves with how long it took, ms, until the lease was renewed: what is left of it grows. */
export const nextRenewal = (raw: RawEtcd, lease: string, timeoutMs = 20_000): Promise<number> => {
  let left = Infinity;
  return timeUntil(
    `the lease ${lease} is renewed`,
    async () => {
      const before = left;
      left = await raw.remainingTtl(lease);
      return left > before;
    },
    timeoutMs,
  );
};

/** `key lease` of every registration of the row's service `echo`, sorted. */
export const leasedKeys = async (row: RowContext, raw: RawEtcd): Promise<string[]> =>
  (await raw.keys(`${row.namespace}/echo/`)).map(({ key, lease }) => `${key} ${lease}`).toSorted();
