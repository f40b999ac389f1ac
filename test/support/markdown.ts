/** A fenced block. */
export interface CodeBlock {
  readonly language: string;
  readonly code: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** File the block is quoted from: named by an HTML comment right above it. */
  readonly source?: string;
}

export interface Heading {
  readonly level: number;
  readonly text: string;
  /** What a link to it says after `#`, as GitHub makes it. */
  readonly anchor: string;
}

/** What the tests of the documentation need to know of one page. */
export interface Page {
  readonly blocks: readonly CodeBlock[];
  readonly headings: readonly Heading[];
  /** Targets of links and images, outside of code. */
  readonly links: readonly string[];
  /** Rows of tables, without separators; a cell is its text. */
  readonly rows: readonly (readonly string[])[];
  /** Text outside of code blocks. */
  readonly prose: string;
  /** Kinds of what stands below each other, in order: `#2`, `text`, `item`, `row`, `code:ts`. */
  readonly outline: readonly string[];
}

/** Reads the Markdown that this repository writes: ATX headings, fences of three backticks, pipe tables. */
export const parsePage = (markdown: string): Page => {
  const blocks: CodeBlock[] = [];
  const headings: Heading[] = [];
  const prose: string[] = [];
  const rows: string[][] = [];
  const outline: string[] = [];
  const lines = markdown.split('\n');
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    const fence = /^```(\w*)$/.exec(line);
    if (fence) {
      const end = lines.indexOf('```', index + 1);
      if (end < 0) throw new Error(`the block that begins in line ${index + 1} has no end`);
      const source = /^<!-- (\S+) -->$/.exec(lines[index - 1] ?? '')?.[1];
      const language = fence[1]!;
      blocks.push({
        language,
        code: lines.slice(index + 1, end).join('\n'),
        line: index + 1,
        ...(source ? { source } : {}),
      });
      outline.push(`code:${language}`);
      index = end;
      continue;
    }
    if (/^<!--.*-->$/.test(line)) continue;
    prose.push(line);
    const heading = /^(#+) (.+)$/.exec(line);
    if (heading) {
      const [, marks = '', text = ''] = heading;
      headings.push({ level: marks.length, text, anchor: anchorOf(text) });
      outline.push(`#${marks.length}`);
    } else if (line.startsWith('|')) {
      if (/^\|[-| :]+\|$/.test(line)) continue;
      rows.push(cellsOf(line));
      outline.push('row');
    } else if (/^(- |\d+\. )/.test(line)) {
      outline.push('item');
    } else if (line.trim() !== '' && (lines[index - 1] ?? '').trim() === '') {
      outline.push('text');
    }
  }
  const text = prose.join('\n');
  const links = [...text.replaceAll(/`[^`\n]*`/g, (code) => ' '.repeat(code.length)).matchAll(/\]\(([^)\s]+)\)/g)];
  return { blocks, headings, links: links.map(([, target]) => target!), rows, prose: text, outline };
};

/** Every `code` of a text, without the backticks. */
export const inlineCode = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);

const cellsOf = (line: string): string[] =>
  line
    .slice(1, line.lastIndexOf('|'))
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
