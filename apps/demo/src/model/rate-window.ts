/** Counts of the last seconds, by key: what "per second" means in the live view. */
export class RateWindow {
  private readonly entries: { at: number; key: string; count: number }[] = [];

  /** @param windowMs how far back a rate looks */
  constructor(private readonly windowMs = 2_000) {}

  add(key: string, count: number, at: number): void {
    this.entries.push({ at, key, count });
  }

  perSecond(key: string, now: number): number {
    while (this.entries.length > 0 && (this.entries[0]?.at ?? 0) <= now - this.windowMs) this.entries.shift();
    const sum = this.entries.reduce((total, entry) => (entry.key === key ? total + entry.count : total), 0);
    return sum / (this.windowMs / 1_000);
  }
}
