import type { EtcdKeyValue } from '../etcd/etcd-client.js';
import { prefixRange } from '../etcd/key-range.js';
import type { KeyReader, LocatedKey } from './key-reader.js';
import { ListWatch, type ListWatchDeps } from './list-watch.js';
import { Listeners } from './listeners.js';
import type { WatchHealth } from './service-catalog.js';
import type { KeyChange, KnownKey } from './service-state.js';

export interface NamespaceWatchSink {
  /** What is known of a key of the service, if it was read of exactly this state of it. */
  known(service: string, kv: EtcdKeyValue): KnownKey | undefined;
  /** Every key of every service at one revision; parts of it may be as new as `newestRevision`. */
  listed(services: ReadonlyMap<string, readonly KnownKey[]>, revision: number, newestRevision: number): Promise<void>;
  changed(services: ReadonlyMap<string, readonly KeyChange[]>): void;
  healthChanged(health: WatchHealth): void;
}

/** One list and watch over the whole namespace, sorted by service. */
export class NamespaceWatch {
  readonly listings: Listeners<[]>;
  readonly healthChanges: Listeners<[WatchHealth]>;
  private readonly feed: ListWatch<LocatedKey>;
  private revision: number | undefined;
  private standingIn = false;

  constructor(
    deps: ListWatchDeps & { readonly namespace: string; readonly reader: KeyReader },
    private readonly sink: NamespaceWatchSink,
  ) {
    const subject = `namespace "${deps.namespace}"`;
    this.listings = new Listeners(deps.log, subject);
    this.healthChanges = new Listeners(deps.log, subject);
    this.feed = new ListWatch(deps, subject, [prefixRange(`${deps.namespace}/`)], {
      read: (kv) => deps.reader.read(kv),
      known: (kv) => {
        const service = deps.reader.serviceOf(kv.key);
        if (service === undefined) return 'foreign';
        const known = this.sink.known(service, kv);
        return known && { service, known };
      },
      listed: async (items, revision, newestRevision) => {
        await this.sink.listed(
          byService(items, ({ known }) => known),
          revision,
          newestRevision,
        );
        this.revision = newestRevision;
        this.standingIn = false;
        this.listings.call();
      },
      changed: (events) => {
        this.sink.changed(
          byService(
            events.map((event) => deps.reader.readEvent(event)),
            ({ change }) => change,
          ),
        );
      },
      healthChanged: (health) => {
        this.sink.healthChanged(health);
        this.healthChanges.call(health);
      },
    });
  }

  /** Revision of the last list; undefined before the first. */
  get listedRevision(): number | undefined {
    return this.revision;
  }

  /** Something stands in for the first list. */
  get standsIn(): boolean {
    return this.standingIn;
  }

  /** Whether the services are known, from etcd or otherwise. */
  get answers(): boolean {
    return this.revision !== undefined || this.standingIn;
  }

  /** The first list has failed or is late, and what stands in for it is shown. */
  standIn(): void {
    this.standingIn = true;
    this.listings.call();
  }

  get health(): WatchHealth {
    return this.feed.health;
  }

  start(): void {
    this.feed.start();
  }

  stop(): void {
    this.feed.stop();
    this.listings.clear();
    this.healthChanges.clear();
  }
}

const byService = <L extends { readonly service: string }, T>(
  located: readonly (L | undefined)[],
  of: (item: L) => T,
): Map<string, T[]> => {
  const services = new Map<string, T[]>();
  for (const item of located) {
    if (!item) continue;
    const known = services.get(item.service);
    if (known) known.push(of(item));
    else services.set(item.service, [of(item)]);
  }
  return services;
};
