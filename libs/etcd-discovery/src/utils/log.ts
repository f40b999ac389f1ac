/** What the engine needs of a logger; Nest's `Logger` and `console` both fit. */
export interface Log {
  debug(message: string): void;
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export const silentLog: Log = { debug() {}, log() {}, warn() {}, error() {} };
