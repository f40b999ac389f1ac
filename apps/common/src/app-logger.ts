import { ConsoleLogger } from '@nestjs/common';

/**
 * Nest's logger without the stack that Nest prints for an application that cannot start: `main.ts` says the same in
 * plain words.
 */
export class AppLogger extends ConsoleLogger {
  override error(message: unknown, ...rest: unknown[]): void {
    if (rest.at(-1) === 'ExceptionHandler') return;
    super.error(message, ...(rest as string[]));
  }
}
