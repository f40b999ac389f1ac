import { quote } from '../instance/text.js';
import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import type { KnownKey } from './service-state.js';

const QUIET_MS = 60_000;
const KEYS_IN_A_LINE = 5;
/** Keys are up to 256 bytes for ids we accept, but anybody may write longer ones. */
const KEY_LENGTH = 300;

interface Pending {
  count: number;
  readonly examples: KnownKey[];
  lastLine: number;
  cancelTimer?: () => void;
}

/**
 * Counts values in etcd that could not be read and says so at most once a minute and service, however many there are
 * and however often they are written.
 */
export class SkippedValues {
  private readonly services = new Map<string, Pending>();
  private counted = 0;

  constructor(
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /** Values skipped since the start; the same value read again in a later list does not count again. */
  get total(): number {
    return this.counted;
  }

  report(service: string, keys: readonly KnownKey[]): void {
    if (keys.length === 0) return;
    this.counted += keys.length;
    let pending = this.services.get(service);
    if (!pending) {
      this.forgetQuiet();
      pending = { count: 0, examples: [], lastLine: Number.NEGATIVE_INFINITY };
      this.services.set(service, pending);
    }
    pending.count += keys.length;
    pending.examples.push(...keys.slice(0, KEYS_IN_A_LINE - pending.examples.length));
    if (pending.cancelTimer) return;
    const wait = pending.lastLine + QUIET_MS - this.clock.now();
    if (wait <= 0) return this.write(service, pending);
    const due = pending;
    pending.cancelTimer = this.clock.after(wait, () => this.write(service, due));
  }

  close(): void {
    for (const pending of this.services.values()) pending.cancelTimer?.();
    this.services.clear();
  }

  private write(service: string, pending: Pending): void {
    const { count, examples } = pending;
    const shown = examples.map(({ key, problem }) => `${quote(key, KEY_LENGTH)} (${problem})`);
    const more = count > examples.length ? ` and ${count - examples.length} more` : '';
    const values = count === 1 ? 'value' : 'values';
    this.log.warn(
      `skipped ${count} ${values} of service ${quote(service)} that cannot be read: ${shown.join(', ')}${more}`,
    );
    pending.count = 0;
    pending.examples.length = 0;
    pending.lastLine = this.clock.now();
    pending.cancelTimer = undefined;
  }

  /** Whoever may write can make up services without end; those that have been silent for a minute are forgotten. */
  private forgetQuiet(): void {
    if (this.services.size < 1_000) return;
    for (const [service, { cancelTimer, lastLine }] of this.services) {
      if (!cancelTimer && this.clock.now() - lastLine >= QUIET_MS) this.services.delete(service);
    }
  }
}
