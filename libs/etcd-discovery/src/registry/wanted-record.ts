import { encodeInstance, type InstanceRecord } from '../instance/instance-record.js';
import type { RegistrationPatch, RegistrationSpec } from './registration-state.js';

/** What one key is to say, and who waits until it says so. */
export class WantedRecord {
  private record: InstanceRecord;
  private waiting: (() => void)[] = [];

  /** @throws InvalidOptionsError for a record that cannot be written, here, in the caller's face */
  constructor(record: RegistrationSpec['record']) {
    this.record = { ...record, registeredAt: new Date() };
    // With the mark it is longest.
    void this.drainingValue;
  }

  get current(): InstanceRecord {
    return this.record;
  }

  get value(): string {
    return encodeInstance(this.record, 'up');
  }

  get drainingValue(): string {
    return encodeInstance(this.record, 'draining');
  }

  /** @throws InvalidOptionsError for a change that cannot be written; the record then stays as it was */
  change(patch: RegistrationPatch): void {
    const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
    const next: InstanceRecord = { ...this.record, ...(given as RegistrationPatch) };
    encodeInstance(next, 'draining');
    this.record = next;
  }

  /** Resolves at the next `settle()`. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** The record is in etcd, or a first attempt has failed, or there is nothing to wait for. */
  settle(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
