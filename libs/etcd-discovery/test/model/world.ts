import type { TxnRequest } from '../../src/etcd/etcd-client.js';
import { seededRandom, type FakeClock } from '../support/fake-clock.js';
import { ModelProcess } from './model-process.js';
import { ModelServer } from './model-server.js';
import type { Backup } from './model-store.js';
import type { Setting } from './operation.js';
import type { Defect, Stage, Violation, Write } from './stage.js';
import { NAMESPACE, readKey } from './truth.js';

/** One etcd, the processes around it, and the judge of what they do. */
export class World implements Stage {
  readonly namespace = NAMESPACE;
  readonly server: ModelServer;
  readonly processes: ModelProcess[] = [];
  readonly violations: Violation[] = [];
  /** The lease of others who write. */
  readonly foreignLease: string;
  readonly corrupted = new Set<string>();
  /** Keys that others than our processes have written. */
  readonly foreignKeys = new Set<string>();
  /** Events were lost or came in the wrong order, so that only the reconciling list can help. */
  lossy = false;
  backup: Backup | undefined;
  private readonly acceptingSince = new Map<string, number>();

  constructor(
    readonly clock: FakeClock,
    readonly setting: Setting,
    readonly defect: Defect = {},
  ) {
    const random = seededRandom(setting.seed);
    this.server = new ModelServer(clock, random, setting.term);
    this.server.pageSize = setting.pageSize;
    this.foreignLease = this.server.store.grant(1e9, 'foreign').id;
    this.backup = this.server.store.backup();
    for (let index = 0; index < setting.processes; index++) this.processes.push(new ModelProcess(this, index, 0));
  }

  get truthful(): boolean {
    return !this.lossy && this.server.rewinds === 0;
  }

  violated(what: string, detail: string): void {
    // One is enough to know, a hundred of them are no more.
    if (this.violations.length < 20) {
      this.violations.push({ what, detail: `${(this.clock.now() / 1_000).toFixed(3)} s: ${detail}` });
    }
  }

  process(index: number): ModelProcess {
    return this.processes[index % this.processes.length] as ModelProcess;
  }

  /** Another incarnation of a process that is gone. */
  restartProcess(index: number): void {
    const at = index % this.processes.length;
    const old = this.process(at);
    if (!old.isGone) return;
    this.processes[at] = new ModelProcess(this, at, old.incarnation + 1);
  }

  listens(address: string, accepts: boolean): void {
    if (accepts === this.acceptingSince.has(address)) return;
    if (accepts) this.acceptingSince.set(address, this.clock.now());
    else this.acceptingSince.delete(address);
    for (const process of this.processes) process.channelChanged(address);
  }

  accepts(address: string): boolean {
    return this.acceptingSince.has(address);
  }

  livedFor(address: string, ms: number): boolean {
    const since = this.acceptingSince.get(address);
    return since !== undefined && this.clock.now() - since >= ms;
  }

  isUsed(address: string): boolean {
    return this.processes.some(({ intents }) => [...intents.values()].some((intent) => intent.address === address));
  }

  /** Called before a write of a process is executed: nobody's property is touched, nothing is left without a lease. */
  writing(writer: string, { txn, revoke }: Write): void {
    const { store } = this.server;
    const ownerOf = (lease: string) => (lease === '0' ? 'nobody' : (store.leases.get(lease)?.owner ?? writer));
    if (revoke !== undefined && ownerOf(revoke) !== writer) {
      this.violated('foreign property', `${writer} revokes a lease of ${ownerOf(revoke)}`);
    }
    if (!txn) return;
    for (const op of effectOf(txn, store)) {
      if (op.type === 'get') continue;
      const holder = store.get(op.key);
      const foreign = holder !== undefined && ownerOf(holder.lease) !== writer;
      if (op.type === 'delete' && foreign) {
        this.violated('foreign property', `${writer} deletes ${op.key} of ${ownerOf(holder.lease)}`);
      }
      if (op.type !== 'put') continue;
      if (op.lease === '0') this.violated('no lease', `${writer} puts ${op.key} without one`);
      if (!foreign || !this.setting.givenIds) continue;
      const old = readKey(holder)?.address;
      const next = readKey({ ...holder, value: Buffer.from(op.value) })?.address;
      if (old !== next) {
        this.violated('foreign property', `${writer} overwrites ${op.key} at ${old} of ${ownerOf(holder.lease)}`);
      }
    }
  }
}

/** The operations that a transaction will execute. */
const effectOf = (txn: TxnRequest, store: ModelServer['store']) => {
  const holds = txn.compare.every((compare) => store.holds(compare));
  return holds ? txn.success : (txn.failure ?? []);
};
