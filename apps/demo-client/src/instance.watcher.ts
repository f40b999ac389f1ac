import type { ServiceEvent } from 'nestjs-etcd-discovery';
import type { InstanceMessage } from '../../common/src/demo-messages.js';

/** The instances this client knows, by address, kept from the events of `DiscoveryService.watchService`. */
export class InstanceWatcher {
  private readonly byAddress = new Map<string, string>();

  constructor(
    private readonly tell: (message: InstanceMessage) => void,
    private readonly now: () => number = Date.now,
  ) {}

  /** Instance id behind an address. The last one is remembered: a call may fail after its instance has left. */
  idAt(address: string): string | undefined {
    return this.byAddress.get(address);
  }

  onEvent({ type, instance, reason }: ServiceEvent): void {
    const { id, address, registeredAt, metadata } = instance;
    const pid = Number(metadata['pid']);
    this.byAddress.set(address, id);
    this.tell({
      type: 'instance',
      at: this.now(),
      change: type,
      id,
      address,
      ...(pid > 0 ? { pid } : {}),
      ...(reason === undefined ? {} : { reason }),
      ...(registeredAt === undefined ? {} : { registeredAt: registeredAt.getTime() }),
    });
  }
}
