import type { RecordedLog } from './fleet.js';

export interface SkippedLine {
  /** How many values the line says were skipped. */
  readonly count: number;
  /** Keys it names. */
  readonly keys: number;
}

/** What an application's log says of values of a service that it could not read, oldest line first. */
export const skippedLines = ({ lines }: RecordedLog, service: string, namespace: string): SkippedLine[] =>
  lines.flatMap((line) => {
    const [, count, named, text = ''] =
      /skipped (\d+) values? of service "(.*?)" that cannot be read: (.*)$/s.exec(line) ?? [];
    if (named !== service) return [];
    return [{ count: Number(count), keys: text.split(`"${namespace}/`).length - 1 }];
  });

/** Values that the log says were skipped so far. */
export const skippedSum = (lines: readonly SkippedLine[]): number => lines.reduce((sum, { count }) => sum + count, 0);
