import { randomUUID } from 'node:crypto';
import { KeyReader } from '../../src/catalog/key-reader.js';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';
import { plainKey, servicePrefix } from '../../src/instance/instance-key.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';
import { systemClock } from '../../src/utils/clock.js';

import type { Defect, Violation } from '../model/stage.js';
import { faceOf } from '../model/truth.js';
import type { RealSetting } from './operation.js';
import type { RealEtcd } from './real-etcd.js';
import { RealProcess } from './real-process.js';
import type { Surroundings } from './surroundings.js';

export const SERVICES = ['s', 's-v2'] as const;

/** A namespace of its own in an etcd that it shares with others, the processes in it, and what they broke. */
export class RealWorld implements Surroundings {
  readonly namespace = `/real-${randomUUID().slice(0, 8)}`;
  readonly clock = systemClock;
  readonly processes: RealProcess[] = [];
  /** Killed ones; what they had open is closed with the world. */
  readonly dead: RealProcess[] = [];
  readonly violations: Violation[] = [];
  readonly corrupted = new Set<string>();
  /** Keys that others than our processes have written. */
  readonly foreignKeys = new Set<string>();
  /** What was done and when, for people. */
  readonly diary: string[] = [];
  /** Nobody knows what a real etcd held at each revision. */
  readonly truthful = false;
  readonly server: Surroundings['server'];
  private readonly reader: KeyReader;
  private readonly acceptingSince = new Map<string, number>();
  private readonly startedAt = systemClock.now();

  constructor(
    readonly etcd: RealEtcd,
    readonly setting: RealSetting,
    readonly defect: Defect,
  ) {
    this.reader = new KeyReader(this.namespace, { plainKeys: true });
    this.server = {
      get rewinds() {
        return etcd.rewinds;
      },
      store: { at: () => new Map() },
    };
  }

  async start(): Promise<void> {
    for (let index = 0; index < this.setting.processes; index++) {
      this.processes.push(await RealProcess.start(this, index, 0));
    }
  }

  process(index: number): RealProcess {
    return this.processes[index % this.processes.length] as RealProcess;
  }

  /** Another incarnation in the place of one that crashed. */
  async restart(index: number): Promise<void> {
    const at = index % this.processes.length;
    const old = this.process(at);
    if (!old.crashed) return;
    this.dead.push(old);
    this.processes[at] = await RealProcess.start(this, at, this.dead.length);
  }

  note(text: string): void {
    this.diary.push(`${((systemClock.now() - this.startedAt) / 1_000).toFixed(3)} s: ${text}`);
  }

  violated(what: string, detail: string): void {
    if (this.violations.length < 20) this.violations.push({ what, detail });
    this.note(`VIOLATED ${what}: ${detail}`);
  }

  listens(address: string, accepts: boolean): void {
    if (!accepts) this.acceptingSince.delete(address);
    else if (!this.acceptingSince.has(address)) this.acceptingSince.set(address, systemClock.now());
  }

  accepts(address: string): boolean {
    return this.acceptingSince.has(address);
  }

  livedFor(address: string, ms: number): boolean {
    const since = this.acceptingSince.get(address);
    return since !== undefined && systemClock.now() - since >= ms;
  }

  readKey(kv: EtcdKeyValue): ServiceInstance | undefined {
    return this.reader.read(kv)?.known.instance;
  }

  /** What a cache of a service has to show while these keys are in etcd. */
  truthOf(service: string, kvs: readonly EtcdKeyValue[]): string[] {
    const prefix = servicePrefix(this.namespace, service);
    const plain = plainKey(this.namespace, service);
    return kvs
      .filter(({ key }) => key === plain || key.startsWith(prefix))
      .map((kv) => this.readKey(kv))
      .filter((instance) => instance?.status === 'up')
      .map((instance) => faceOf(instance as ServiceInstance))
      .sort();
  }
}
