/** How a person follows a run. */
export interface View {
  start(): void;
  /** Shows the last state and gives the terminal back. Idempotent. */
  stop(): void;
}
