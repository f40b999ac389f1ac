import { setTimeout as delay } from 'node:timers/promises';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { Gateway } from './gateway.js';
import type { EtcdOperation } from './operation.js';

/** Longer than any schedule. */
const FOREIGN_LEASE_S = 600;

/** The etcd of a batch of worlds, and what happens to it. */
export class RealEtcd {
  /** Whether it answers, as far as is known here. */
  isUp = true;
  /** How often its data went back. */
  rewinds = 0;
  /** What was done to it may have broken connections. */
  broke = false;
  private hasBackup = false;
  private lease: Promise<string> | undefined;

  private constructor(
    private readonly server: EtcdServer,
    readonly gateway: Gateway,
  ) {}

  static async start(): Promise<RealEtcd> {
    const server = await EtcdServer.start();
    return new RealEtcd(server, new Gateway(server));
  }

  get endpoint(): string {
    return this.server.endpoint;
  }

  /** The lease of others who write; another one when that was lost with the data. */
  foreignLease(): Promise<string> {
    this.lease ??= this.gateway.grant(FOREIGN_LEASE_S).catch((error: unknown) => {
      this.lease = undefined;
      throw error;
    });
    return this.lease;
  }

  /** One step; resolves when etcd answers again. */
  async perform(step: EtcdOperation): Promise<void> {
    switch (step.op) {
      case 'wait':
        return delay(step.ms);
      case 'compact':
        return this.gateway.compact();
      case 'defrag':
        return this.server.defrag();
      case 'backup':
        await this.server.snapshot();
        this.hasBackup = true;
        return;
      case 'pause':
        return this.away(async () => {
          this.server.pause();
          await delay(step.ms);
          this.server.resume();
          await this.gateway.leases();
        });
      case 'kill':
        return this.away(() => this.server.restart(step.downMs));
      case 'restore':
        if (this.hasBackup) await this.replaced(step.downMs, () => this.server.restore());
        return;
      case 'wipe':
        return this.replaced(step.downMs, () => this.server.wipe());
    }
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  private replaced(downMs: number, replace: () => Promise<void>): Promise<void> {
    return this.away(async () => {
      await this.server.kill();
      this.rewinds += 1;
      this.lease = undefined;
      await replace();
      await delay(downMs);
      await this.server.up();
    });
  }

  private async away(work: () => Promise<void>): Promise<void> {
    this.isUp = false;
    this.broke = true;
    await work();
    this.isUp = true;
  }
}
