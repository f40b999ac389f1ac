import { setImmediate } from 'node:timers/promises';

/**
 * Lets the event loop turn between pieces of a long work, so that no piece holds it for long. Short works never wait:
 * what is done within one turn without need stays so.
 */
export class Turns {
  private done = 0;

  /** @param most units of work, of whatever size the caller counts them in, within one turn */
  constructor(private readonly most: number) {}

  /** To be awaited before `units` of work; undefined when there is room for them in this turn. */
  before(units: number): Promise<void> | undefined {
    const full = this.done > 0 && this.done + units > this.most;
    this.done = full ? units : this.done + units;
    return full ? setImmediate() : undefined;
  }

  /** To be awaited where something else has used this turn up. */
  next(): Promise<void> {
    this.done = 0;
    return setImmediate();
  }
}
