import type { Log } from '../utils/log.js';

/** A set of callbacks none of which can hurt the others. */
export class Listeners<A extends unknown[]> {
  private readonly members = new Set<{ readonly listener: (...args: A) => void }>();

  constructor(
    private readonly log: Log,
    /** What is listened to, for the log. */
    private readonly subject: string,
  ) {}

  get size(): number {
    return this.members.size;
  }

  /** The same function added twice is called twice; the returned function removes this one. */
  add(listener: (...args: A) => void): () => void {
    const member = { listener };
    this.members.add(member);
    return () => void this.members.delete(member);
  }

  /** Calls all that are there now; one that is removed by another meanwhile is not called any more. */
  call(...args: A): void {
    for (const member of Array.from(this.members)) {
      if (!this.members.has(member)) continue;
      try {
        member.listener(...args);
      } catch (error) {
        this.log.error(`a listener of ${this.subject} threw: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
  }

  clear(): void {
    this.members.clear();
  }
}
