/** One column: its heading, and on which side its values stand. */
export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

/** Lines of a table, each column as wide as its widest value, `gap` spaces between. */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = (values: readonly string[]) =>
    columns
      .map(({ align }, index) => {
        const value = values[index] ?? '';
        const width = widths[index] ?? 0;
        return align === 'left' ? value.padEnd(width) : value.padStart(width);
      })
      .join(' '.repeat(gap))
      .trimEnd();
  return [line(columns.map(({ title }) => title)), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}

/** `850 ms`, `1.2 ms`, `10.4 s`. */
export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return '-';
  if (ms >= 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
