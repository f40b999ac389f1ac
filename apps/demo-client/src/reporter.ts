import type { Output } from './demo-client.settings.js';
import type { Reporter } from './reporter.interface.js';
import { TextReporter } from './text.reporter.js';

/** Over IPC where a parent listens, else to standard output in the form asked for. */
export function createReporter(output: Output): Reporter {
  if (process.send !== undefined) {
    // The callback takes the error of a parent that is gone; the watch on it notices, and stops the client.
    return { intervalMs: 250, tell: (message) => process.send?.(message, undefined, {}, () => {}) };
  }
  if (output === 'json') {
    return { intervalMs: 1_000, tell: (message) => process.stdout.write(`${JSON.stringify(message)}\n`) };
  }
  return new TextReporter((line) => process.stdout.write(`${line}\n`));
}
