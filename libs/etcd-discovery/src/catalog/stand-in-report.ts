import { quote } from '../instance/text.js';
import type { Clock } from '../utils/clock.js';
import type { Log } from '../utils/log.js';
import { ageOf, type SnapshotOrigin } from './last-known.js';

/** A namespace may hold thousands of services that change sides together: they share a line. */
const COLLECT_MS = 100;
const NAMES_IN_A_LINE = 5;

/** Tells people when instances of a snapshot come into use, and when etcd has taken over again. */
export class StandInReport {
  private readonly used = new Map<string, SnapshotOrigin>();
  private readonly over = new Set<string>();
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly log: Log,
  ) {}

  /** The service is shown with the instances of the snapshot. */
  begun(service: string, origin: SnapshotOrigin): void {
    this.used.set(service, origin);
    this.schedule();
  }

  /** etcd has listed the service. */
  ended(service: string): void {
    this.over.add(service);
    this.schedule();
  }

  /** None of the snapshot's instances can be reached. */
  exhausted(service: string, retryMs: number): void {
    this.log.warn(
      `none of the instances of service ${quote(service)} in the snapshot can be reached; ` +
        `they are tried again every ${retryMs / 1_000} s until etcd answers`,
    );
  }

  /** Writes what is waiting. */
  close(): void {
    this.cancelTimer?.();
    this.write();
  }

  private schedule(): void {
    this.cancelTimer ??= this.clock.after(COLLECT_MS, () => this.write());
  }

  private write(): void {
    this.cancelTimer = undefined;
    if (this.used.size > 0) {
      const origins = [...this.used.values()].sort((a, b) => a.asOf.getTime() - b.asOf.getTime());
      const [oldest] = origins as [SnapshotOrigin, ...SnapshotOrigin[]];
      this.log.warn(
        `etcd has not answered: instances of ${named(this.used.keys())} come from the snapshot of ${quote(oldest.file, 1_024)}, ` +
          `${ageOf(oldest.asOf)}. They are used as suspects while they accept connections, until etcd answers`,
      );
    }
    if (this.over.size > 0) {
      this.log.log(`etcd has answered: its list of ${named(this.over)} has taken the place of the snapshot`);
    }
    this.used.clear();
    this.over.clear();
  }
}

const named = (names: Iterable<string>): string => {
  const all = [...names].sort();
  const shown = all.slice(0, NAMES_IN_A_LINE).map((name) => quote(name));
  const more = all.length > shown.length ? ` and ${all.length - shown.length} more` : '';
  return `${all.length === 1 ? 'service' : `${all.length} services:`} ${shown.join(', ')}${more}`;
};
