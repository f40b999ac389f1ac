import type { Clock, Random } from '../../src/utils/clock.js';

/** A packet that was lost is sent again within this time of the network's return, ms. */
const RETRANSMIT_MS = 1_000;

/** `refused`: resets at once. `silent`: packets vanish, until they are sent again. */
export type LinkMode = 'up' | 'refused' | 'silent';

/** The network between one process and etcd. */
export class Link {
  /** One way, ms: from the first to the second. */
  latency: readonly [number, number] = [1, 1];
  private current: LinkMode = 'up';
  private held: { deliver: () => void; broken: (text: string) => void }[] = [];
  private change = 0;
  private deadText: string | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly random: Random,
    /** The connections over this link are gone. */
    private readonly onLost: (text: string) => void,
  ) {}

  get mode(): LinkMode {
    return this.current;
  }

  travelMs(): number {
    const [least, most] = this.latency;
    return least + (most - least) * this.random();
  }

  /** Something arrives at the end of its way. */
  pass(deliver: () => void, broken: (text: string) => void): void {
    if (this.current === 'silent') this.held.push({ deliver, broken });
    else if (this.current === 'refused') broken('connect ECONNREFUSED model:2379');
    else deliver();
  }

  refuse(): void {
    this.change += 1;
    this.current = 'refused';
    this.breakAll('read ECONNRESET');
  }

  silence(): void {
    this.change += 1;
    if (this.current === 'up') this.current = 'silent';
  }

  /** `waitMs`: until the next packet is sent again. */
  heal(waitMs = RETRANSMIT_MS * this.random()): void {
    const change = ++this.change;
    if (this.current !== 'silent') return void (this.current = 'up');
    this.clock.after(waitMs, () => {
      if (this.change !== change) return;
      this.current = 'up';
      if (this.deadText !== undefined) this.breakAll(this.deadText);
      else for (const { deliver } of this.held.splice(0)) deliver();
    });
  }

  /** The other end has died: noticed as soon as a packet comes through. */
  lost(text: string): void {
    if (this.current === 'silent') this.deadText = text;
    else this.breakAll(text);
  }

  private breakAll(text: string): void {
    this.deadText = undefined;
    for (const { broken } of this.held.splice(0)) broken(text);
    this.onLost(text);
  }
}
