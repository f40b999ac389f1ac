import type { ClientMessage } from '../../common/src/demo-messages.js';

/** Where the client says what happens. */
export interface Reporter {
  readonly intervalMs: number;
  tell(message: ClientMessage): void;
}
