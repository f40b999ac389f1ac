import type { Probe } from '../../src/catalog/connection-check.js';
import type { EtcdClient, TxnRequest } from '../../src/etcd/etcd-client.js';
import type { ResolvedDiscoveryOptions } from '../../src/options/resolved-options.js';
import type { FakeClock } from '../support/fake-clock.js';
import type { ModelServer } from './model-server.js';
import type { Setting } from './operation.js';

export interface Violation {
  /** The promise that was broken, in a few words. */
  readonly what: string;
  readonly detail: string;
}

/** What is made wrong on purpose, to see that it is noticed: wrappers around the port, and options. */
export interface Defect {
  readonly registrarPort?: (etcd: EtcdClient) => EtcdClient;
  readonly catalogPort?: (etcd: EtcdClient) => EtcdClient;
  readonly options?: Partial<ResolvedDiscoveryOptions>;
  readonly probe?: Probe;
}

/** A write that is about to be executed. */
export interface Write {
  readonly txn?: TxnRequest;
  readonly revoke?: string;
}

/** The world as its processes and those who watch them see it. */
export interface Stage {
  /** Starts with a slash and does not end with one. */
  readonly namespace: string;
  readonly clock: FakeClock;
  readonly server: ModelServer;
  readonly setting: Setting;
  readonly defect: Defect;
  /** Keys that somebody has overwritten with something unreadable. */
  readonly corrupted: ReadonlySet<string>;
  /** Nothing that was promised to be exact has been lied about. */
  readonly truthful: boolean;
  violated(what: string, detail: string): void;
  /** Somebody listens at the address from now on, or nobody does. */
  listens(address: string, accepts: boolean): void;
  accepts(address: string): boolean;
  /** Has accepted connections all the time for the last `ms`. */
  livedFor(address: string, ms: number): boolean;
  /** Some process has a registration at the address. */
  isUsed(address: string): boolean;
  /** Judges a write of the process of that name. */
  writing(owner: string, write: Write): void;
}
