import type { ResolvedClientDefaults } from '../options/resolved-options.js';
import type { ServiceCatalog } from './service-catalog.js';

/** What a client needs to know of an open connection to call a service through it. */
export interface DiscoveryConnection {
  /** `'default'`, or the `name` of the options. */
  readonly name: string;
  readonly catalog: ServiceCatalog;
  /** Longest wait for the first list of a service. */
  readonly resolveTimeoutMs: number;
  /** How calls to this service behave: `client` of the options with `services[service]` over it. */
  clientDefaults(service: string): ResolvedClientDefaults;
}

/** An object of its own, so that a connection opened twice is closed twice. */
interface Opening {
  readonly connection: DiscoveryConnection;
}

const DEFAULT_NAME = 'default';

/** `etcd:///x` has an empty authority, which is the default connection. */
const normalise = (name: string): string => name || DEFAULT_NAME;

/**
 * Where the `etcd:` scheme finds its connections. Clients may be built before the module that opens their connection,
 * and several applications of one process may open connections of one name: the first opened serves until it closes,
 * then the next.
 */
export class ConnectionDirectory {
  private readonly opened = new Map<string, readonly Opening[]>();
  private readonly listeners = new Set<() => void>();

  /** The returned function takes the connection out again; idempotent. */
  open(connection: DiscoveryConnection): () => void {
    const name = normalise(connection.name);
    const opening: Opening = { connection };
    this.opened.set(name, [...this.of(name), opening]);
    this.notify();
    return () => {
      if (!this.of(name).includes(opening)) return;
      const rest = this.of(name).filter((other) => other !== opening);
      if (rest.length > 0) this.opened.set(name, rest);
      else this.opened.delete(name);
      this.notify();
    };
  }

  find(name: string): DiscoveryConnection | undefined {
    return this.of(normalise(name))[0]?.connection;
  }

  /** Calls `listener` after every opening and closing; look again with `find`. */
  onChange(listener: () => void): () => void {
    const member = () => listener();
    this.listeners.add(member);
    return () => void this.listeners.delete(member);
  }

  private of(name: string): readonly Opening[] {
    return this.opened.get(name) ?? [];
  }

  private notify(): void {
    for (const listener of Array.from(this.listeners)) if (this.listeners.has(listener)) listener();
  }
}

/** The directory of this process. */
export const connections = new ConnectionDirectory();
