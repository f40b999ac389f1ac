import { RECENT_MS } from '../../src/catalog/recent-maximum.js';
import type { ServiceSubscription, SnapshotChange } from '../../src/catalog/service-catalog.js';
import { instanceKey } from '../../src/instance/instance-key.js';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import type { Stage } from './stage.js';
import { faceOf, truthOf } from './truth.js';

/** The default of `suspectTimeout`, ms. */
export const SUSPECT_MS = 300_000;

/** What is asked of the world by those who look at a cache; the world around a real etcd answers it too. */
export interface Audience extends Pick<Stage, 'namespace' | 'corrupted' | 'truthful' | 'violated' | 'livedFor'> {
  readonly clock: { now(): number };
  readonly server: {
    readonly rewinds: number;
    readonly store: { at(revision: number): ReadonlyMap<string, EtcdKeyValue> };
  };
}

/** Looks over the shoulder of one user of a service, and holds every change against the promises. */
export class Follower {
  private readonly shown = new Set<ServiceInstance>();
  private revision: number;
  private rewinds: number;
  private readonly suspectSince = new WeakMap<ServiceInstance, number>();
  private recent: { count: number; until: number }[] = [];
  private current: number;
  private readonly stop: () => void;

  constructor(
    private readonly world: Audience,
    private readonly who: string,
    readonly share: ServiceSubscription,
  ) {
    for (const instance of share.snapshot?.instances ?? []) this.shown.add(instance);
    this.revision = share.snapshot?.revision ?? 0;
    // What is there already may be from before the last time that etcd went back.
    this.rewinds = share.snapshot ? 0 : world.server.rewinds;
    this.current = this.registered();
    this.stop = share.onChange((change) => this.changed(change));
  }

  end(): void {
    this.stop();
    this.share.release();
  }

  private changed(change: SnapshotChange): void {
    this.fold(change);
    this.neverBack(change.snapshot.revision);
    this.protectedFromExpiry(change);
    this.exact(change.snapshot.revision);
  }

  /** Events and snapshots tell the same story. */
  private fold({ snapshot, events }: SnapshotChange): void {
    for (const { type, instance, previous } of events) {
      if (previous && !this.shown.delete(previous)) {
        this.violated('gap', `${type} of ${faceOf(previous)}, which was not shown`);
      }
      if (type === 'added' && previous) this.violated('gap', `added, but there was ${faceOf(previous)} before`);
      if (type !== 'removed') this.shown.add(instance);
    }
    const { instances } = snapshot;
    if (instances.length !== this.shown.size || instances.some((instance) => !this.shown.has(instance))) {
      this.violated('gap', `the events lead to ${list(this.shown)}, the snapshot says ${list(instances)}`);
      this.shown.clear();
      for (const instance of instances) this.shown.add(instance);
    }
    for (const { status, id } of instances) if (status !== 'up') this.violated('draining', `${id} is shown`);
  }

  /** Revisions go back only where etcd's did. */
  private neverBack(revision: number): void {
    const { rewinds } = this.world.server;
    if (revision < this.revision && rewinds === this.rewinds) {
      this.violated('back in time', `from revision ${this.revision} to ${revision}`);
    }
    if (revision < this.revision) this.rewinds = rewinds;
    this.revision = revision;
  }

  /** P7: expiry alone neither empties nor halves a service, and a suspect that lives is not let go early. */
  private protectedFromExpiry({ snapshot, events }: SnapshotChange): void {
    const now = this.world.clock.now();
    this.recent.push({ count: this.current, until: now });
    this.recent = this.recent.filter(({ until }) => now - until <= RECENT_MS);
    let expired = 0;
    for (const { type, instance, previous, reason } of events) {
      if (reason === 'suspect') this.suspectSince.set(instance, now);
      if (type !== 'removed' || !previous) continue;
      const corrupted = this.world.corrupted.has(keyOf(this.world.namespace, previous));
      if (reason === 'drained' || corrupted) for (const sample of this.recent) sample.count -= 1;
      else if (!previous.suspect) expired += 1;
      else this.suspectLetGo(previous, snapshot.instances);
    }
    const most = Math.max(...this.recent.map(({ count }) => count));
    const left = new Set(snapshot.instances.map(({ address }) => address)).size;
    if (expired > 0 && left * 2 < most) {
      this.violated('emptied by expiry', `${left} of ${most} are left after ${expired} vanished`);
    }
    this.current = this.registered();
  }

  private suspectLetGo(suspect: ServiceInstance, left: readonly ServiceInstance[]): void {
    const replaced = left.some(({ address }) => address === suspect.address);
    const timedOut = this.world.clock.now() - (this.suspectSince.get(suspect) ?? -Infinity) >= SUSPECT_MS;
    if (replaced || timedOut || !this.world.livedFor(suspect.address, 5_000)) return;
    this.violated('live suspect dropped', `${suspect.id} at ${suspect.address} accepts connections`);
  }

  /** While nothing lies, a snapshot is what etcd held at its revision, nothing more and nothing less. */
  private exact(revision: number): void {
    if (!this.world.truthful || revision === 0) return;
    // The plain key has a watch of its own, whose events may come a moment later.
    const underPrefix = (faces: readonly string[]) => faces.filter((face) => !face.startsWith('/')).join();
    const truth = underPrefix(truthOf(this.share.service, this.world.server.store.at(revision).values()));
    const shown = underPrefix(this.faces());
    if (truth !== shown) this.violated('not a moment of etcd', `at revision ${revision} shown ${shown}, true ${truth}`);
  }

  /** Those that etcd vouches for. */
  faces(): string[] {
    return [...this.shown]
      .filter(({ suspect }) => !suspect)
      .map(faceOf)
      .sort();
  }

  suspects(): ServiceInstance[] {
    return [...this.shown].filter(({ suspect }) => suspect);
  }

  private registered(): number {
    return new Set([...this.shown].filter(({ suspect }) => !suspect).map(({ address }) => address)).size;
  }

  private violated(what: string, detail: string): void {
    this.world.violated(what, `${this.who} of ${this.share.service}: ${detail}`);
  }
}

/** The id of an instance under the plain key is that key. */
const keyOf = (namespace: string, { service, id }: ServiceInstance): string =>
  id.startsWith('/') ? id : instanceKey(namespace, service, id);

const list = (instances: Iterable<ServiceInstance>): string => [...instances].map(faceOf).join(', ') || 'nothing';
