import type { RegistrationState, RegistrationStatus } from './registration-state.js';

/** Keeps the published snapshot of one registration. */
export class StatusBoard {
  private snapshot: RegistrationState;

  constructor(
    who: { readonly service: string; readonly id: string },
    private readonly changed: () => void,
  ) {
    this.snapshot = Object.freeze({ id: who.id, service: who.service, state: 'waiting', since: new Date() });
  }

  get current(): RegistrationState {
    return this.snapshot;
  }

  enter(state: RegistrationStatus, reason?: string): void {
    this.publish(state, reason, new Date());
  }

  /** A new reason within the same state; undefined takes the old one away. */
  explain(reason: string | undefined): void {
    if (reason !== this.snapshot.reason) this.publish(this.snapshot.state, reason, this.snapshot.since);
  }

  private publish(state: RegistrationStatus, reason: string | undefined, since: Date): void {
    const { id, service } = this.snapshot;
    this.snapshot = Object.freeze({ id, service, state, ...(reason !== undefined && { reason }), since });
    this.changed();
  }
}
