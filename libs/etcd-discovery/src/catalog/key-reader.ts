import { decodeInstance } from '../instance/instance-record.js';
import { parseInstanceKey, parsePlainKey, servicePrefix } from '../instance/instance-key.js';
import { isReadableName } from '../instance/names.js';
import type { ServiceInstance } from '../instance/service-instance.js';
import type { EtcdKeyValue, WatchEvent } from '../etcd/etcd-client.js';
import type { KeyChange, KnownKey } from './service-state.js';

/**
 * A last look at what was read from etcd before calls go there: `true`, or why not. It may see every instance of every
 * service, so it does no I/O.
 */
export type AcceptInstance = (instance: ServiceInstance) => true | string;

/** A key of the namespace: of which service, and what it says. */
export interface LocatedKey {
  readonly service: string;
  readonly known: KnownKey;
}

export interface LocatedChange {
  readonly service: string;
  readonly change: KeyChange;
}

/**
 * Turns keys and values of one namespace into instances. Never throws, whatever they hold: what cannot be read becomes
 * a key with a problem.
 */
export class KeyReader {
  /** Of the last instance key read, with the slash at its end: keys come in order, and then share one name. */
  private lastPrefix = '';
  private lastService = '';

  constructor(
    private readonly namespace: string,
    private readonly options: { readonly plainKeys: boolean; readonly accept?: AcceptInstance },
  ) {}

  /** Undefined for a key that belongs to no service. */
  read(kv: EtcdKeyValue): LocatedKey | undefined {
    const place = this.locate(kv.key);
    return place && { service: place.service, known: this.decode(place, kv) };
  }

  /** The service that a key belongs to, whatever its value says; undefined for a key that belongs to none. */
  serviceOf(key: string): string | undefined {
    return this.locate(key)?.service;
  }

  readEvent(event: WatchEvent): LocatedChange | undefined {
    if (event.type === 'put') {
      const located = this.read(event);
      return located && { service: located.service, change: { type: 'put', known: located.known } };
    }
    const place = this.locate(event.key);
    return (
      place && { service: place.service, change: { type: 'delete', key: event.key, modRevision: event.modRevision } }
    );
  }

  private locate(key: string): { service: string; id?: string } | undefined {
    const place = this.locateInstance(key);
    if (place) return place;
    const plain = parsePlainKey(this.namespace, key);
    // The key itself serves as id: no instance under the prefix can have one with a slash in it.
    if (plain !== undefined) return this.options.plainKeys ? { service: plain, id: key } : undefined;
    const [service] = key.slice(this.namespace.length + 1).split('/', 1);
    return key.startsWith(`${this.namespace}/`) && service !== undefined && isReadableName(service)
      ? { service }
      : undefined;
  }

  private locateInstance(key: string): { service: string; id: string } | undefined {
    const { lastPrefix, lastService } = this;
    if (lastPrefix !== '' && key.startsWith(lastPrefix)) {
      const id = key.slice(lastPrefix.length);
      return isReadableName(id) ? { service: lastService, id } : undefined;
    }
    const place = parseInstanceKey(this.namespace, key);
    if (place) {
      this.lastService = place.service;
      this.lastPrefix = servicePrefix(this.namespace, place.service);
    }
    return place;
  }

  private decode({ service, id }: { service: string; id?: string }, kv: EtcdKeyValue): KnownKey {
    const { key, createRevision, modRevision, version, lease } = kv;
    const problem = (text: string): KnownKey => ({ key, createRevision, modRevision, version, lease, problem: text });
    if (id === undefined) return problem('not the key of an instance');
    try {
      const decoded = decodeInstance({ service, id, value: kv.value, createRevision, modRevision });
      if (!decoded.ok) return problem(decoded.reason);
      const accepted = this.options.accept?.(decoded.instance) ?? true;
      if (accepted !== true) return problem(accepted);
      return { key, createRevision, modRevision, version, lease, instance: decoded.instance };
    } catch (error) {
      return problem(error instanceof Error ? error.message : 'unreadable');
    }
  }
}
