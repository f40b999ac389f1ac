import { ProbingGate } from '../../src/etcd/connectivity-gate.js';
import type {
  EtcdClient,
  EtcdHeader,
  EtcdKeyValue,
  KeyRange,
  RangeRequest,
  RangeResponse,
  WatchHandle,
  WatchObserver,
} from '../../src/etcd/etcd-client.js';
import { EtcdRequestError } from '../../src/etcd/etcd-status.js';
import type { Random } from '../../src/utils/clock.js';
import { silentLog } from '../../src/utils/log.js';
import type { Interval, SimulatedMachine } from './simulated-machine.js';
import type { VirtualClock } from './virtual-clock.js';

/** What things cost, in milliseconds of one core and in bytes. */
export interface HerdCosts {
  /** A client opens a connection. */
  readonly clientConnectMs: number;
  /** A client sends the request of a list, and reads the answer. */
  readonly clientListMs: number;
  readonly serverConnectMs: number;
  readonly serverListMs: number;
  readonly serverKeysOnlyMs: number;
  /** Any small request: a probe, a single key, a watch. */
  readonly serverSmallMs: number;
  readonly listBytes: number;
  readonly keysOnlyBytes: number;
}

export interface SimulatedList {
  readonly sentAt: number;
  readonly keysOnly: boolean;
}

/** One etcd that can be stopped and started, with what it was asked and when it worked. */
export class SimulatedEtcd {
  readonly lists: SimulatedList[] = [];
  readonly busy: (Interval & { readonly bytes: number })[] = [];
  private raftTerm = 2;
  private running = true;
  private readonly clients = new Set<SimulatedClient>();

  constructor(
    readonly clock: VirtualClock,
    readonly costs: HerdCosts,
    readonly machine: SimulatedMachine,
    private readonly data: ReadonlyMap<string, readonly EtcdKeyValue[]>,
  ) {}

  get up(): boolean {
    return this.running;
  }

  get header(): EtcdHeader {
    return { clusterId: '1', memberId: '1', revision: 1_000, raftTerm: this.raftTerm };
  }

  add(client: SimulatedClient): void {
    this.clients.add(client);
  }

  stop(): void {
    this.running = false;
    for (const client of this.clients) client.disconnected();
  }

  /** A restart is an election, even of one. */
  start(): void {
    this.running = true;
    this.raftTerm += 1;
  }

  async serve(ms: number, bytes = 0): Promise<void> {
    const interval = await this.machine.work(ms);
    this.busy.push({ ...interval, bytes });
    if (!this.running) throw refused();
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    const { keysOnly = false, rangeEnd } = request;
    const { costs } = this;
    if (rangeEnd === undefined) await this.serve(costs.serverSmallMs);
    else if (keysOnly) await this.serve(costs.serverKeysOnlyMs, costs.keysOnlyBytes);
    else await this.serve(costs.serverListMs, costs.listBytes);
    const kvs = rangeEnd === undefined ? [] : (this.data.get(request.key) ?? []);
    return { header: this.header, kvs, more: false, count: kvs.length };
  }
}

/** One client's port to it: the library's own gate, and of the driver only what takes time. */
export class SimulatedClient implements EtcdClient {
  readonly gate: ProbingGate;
  readonly endpoint = 'simulated:2379';
  private readonly watches = new Set<WatchObserver>();
  private watching: Promise<void> | undefined;

  constructor(
    private readonly etcd: SimulatedEtcd,
    /** Where this client runs. */
    private readonly machine: SimulatedMachine,
    random: Random,
  ) {
    this.gate = new ProbingGate({ clock: etcd.clock, random, log: silentLog, probe: () => this.probe() });
    etcd.add(this);
  }

  disconnected(): void {
    this.watching = undefined;
    const watches = [...this.watches];
    this.watches.clear();
    for (const watch of watches) watch.end({ reason: 'error', error: refused() });
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    const { gate, etcd } = this;
    if (!gate.state.open) throw refused();
    try {
      await (this.watching ??= this.connect());
      if (request.rangeEnd !== undefined) {
        await this.machine.work(etcd.costs.clientListMs / 2);
        etcd.lists.push({ sentAt: etcd.clock.now(), keysOnly: request.keysOnly ?? false });
      }
      if (!etcd.up) throw refused();
      const answer = await etcd.range(request);
      if (request.rangeEnd !== undefined) await this.machine.work(etcd.costs.clientListMs / 2);
      return answer;
    } catch (error) {
      this.watching = undefined;
      gate.trip(error as Error);
      throw error;
    }
  }

  watch(_request: KeyRange & { startRevision: number }, observer: WatchObserver): WatchHandle {
    this.watches.add(observer);
    void this.etcd.serve(this.etcd.costs.serverSmallMs).then(
      () => this.watches.has(observer) && observer.created?.(this.etcd.header),
      () => undefined,
    );
    return { close: () => void this.watches.delete(observer) };
  }

  txn = notSimulated;
  grantLease = notSimulated;
  keepAliveLease = notSimulated;
  revokeLease = notSimulated;
  localAddress = notSimulated;

  close(): Promise<void> {
    this.gate.dispose();
    return Promise.resolve();
  }

  private async probe(): Promise<void> {
    await this.connect();
    await this.etcd.serve(this.etcd.costs.serverSmallMs);
  }

  /** Refused at once while nobody listens, as on one machine or by a router that knows. */
  private async connect(): Promise<void> {
    const { etcd, machine } = this;
    await machine.work(etcd.costs.clientConnectMs);
    if (!etcd.up) throw refused();
    await etcd.serve(etcd.costs.serverConnectMs);
  }
}

const notSimulated = (): Promise<never> => Promise.reject(new Error('not part of the simulation'));

const refused = () => new EtcdRequestError('unreachable', 'connect ECONNREFUSED simulated:2379');
