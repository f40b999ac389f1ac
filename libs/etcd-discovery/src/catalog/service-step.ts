import type { ServiceInstance } from '../instance/service-instance.js';
import type { KnownKey } from './known-key.js';
import type { ServiceEvent } from './service-catalog.js';

/** What a step starts from. */
interface StepStart {
  readonly keys: ReadonlyMap<string, KnownKey>;
  readonly addresses: ReadonlyMap<string, number>;
  readonly suspects: ReadonlyMap<string, ServiceInstance>;
}

/** What becomes of a state while changes are applied to it. */
export class Step {
  readonly keys: Map<string, KnownKey>;
  readonly suspects: Map<string, ServiceInstance>;
  readonly events: ServiceEvent[] = [];
  readonly unreadable: KnownKey[] = [];
  drained = 0;
  expired = 0;

  /** A copy, once one of them changes; most changes leave them alone. */
  private ownAddresses: Map<string, number> | undefined;

  constructor(
    private readonly before: StepStart,
    /** Instances that vanish become suspects. */
    private readonly protecting: boolean,
  ) {
    this.keys = new Map(before.keys);
    this.suspects = new Map(before.suspects);
  }

  /**
   * The addresses that are registered, with how many keys have each: one process listens at an address, so several ids at
   * one address are one instance and leftovers of its past.
   */
  get addresses(): ReadonlyMap<string, number> {
    return this.ownAddresses ?? this.before.addresses;
  }

  put(known: KnownKey, revision: number): void {
    const { key } = known;
    const suspect = this.suspects.get(key);
    const registered = serving(this.keys.get(key));
    const previous = registered ?? suspect;
    const instance = serving(known);
    this.keys.set(key, known);
    this.moved(registered?.address, instance?.address);
    this.suspects.delete(key);
    if (known.problem !== undefined) this.unreadable.push(known);
    if (instance && previous) {
      this.events.push({ type: 'updated', instance, previous, ...(suspect && { reason: 'recovered' }), revision });
    } else if (instance) {
      this.events.push({ type: 'added', instance, revision });
    } else if (previous && known.instance) {
      // The mark is the leaving: whoever waits for the delete sends calls to a server that is about to close.
      this.drained += 1;
      this.events.push({ type: 'removed', instance: known.instance, previous, reason: 'drained', revision });
    } else if (previous) {
      this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
    }
  }

  /** Every disappearance without a draining mark passes here; an instance that was draining had left before. */
  vanish(key: string, revision: number): void {
    const previous = serving(this.keys.get(key));
    this.keys.delete(key);
    if (!previous) return;
    this.moved(previous.address, undefined);
    this.expired += 1;
    if (this.protecting) {
      const instance = Object.freeze({ ...previous, suspect: true });
      this.suspects.set(key, instance);
      this.events.push({ type: 'updated', instance, previous, reason: 'suspect', revision });
    } else {
      this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
    }
  }

  /** One that this process has not seen in etcd. */
  remember(key: string, instance: ServiceInstance): void {
    if (this.suspects.has(key) || this.keys.has(key)) return;
    this.suspects.set(key, instance);
    this.events.push({ type: 'added', instance, revision: 0 });
  }

  drop(key: string, revision: number): void {
    const previous = this.suspects.get(key);
    if (!previous) return;
    this.suspects.delete(key);
    this.events.push({ type: 'removed', instance: previous, previous, reason: 'expired', revision });
  }

  /** A key has another address, or its first, or none any more. */
  private moved(from: string | undefined, to: string | undefined): void {
    if (from === to) return;
    const addresses = (this.ownAddresses ??= new Map(this.before.addresses));
    const count = from === undefined ? 0 : addresses.get(from)!;
    if (from !== undefined && count > 1) addresses.set(from, count - 1);
    else if (from !== undefined) addresses.delete(from);
    if (to !== undefined) addresses.set(to, (addresses.get(to) ?? 0) + 1);
  }
}

/** The instance of a key, if it may get calls. */
const serving = (known: KnownKey | undefined): ServiceInstance | undefined =>
  known?.instance?.status === 'up' ? known.instance : undefined;
