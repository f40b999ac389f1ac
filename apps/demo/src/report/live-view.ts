import type { DemoModel } from '../model/demo-model.js';
import { frame } from './frame.js';
import type { View } from './view.js';

/** What is used of a terminal. */
export interface Terminal {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 250;
const ERASE_DOWN = '\x1b[0J';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** Redraws one frame in place. Leaves the last one on the screen, and what was above it untouched. */
export class LiveView implements View {
  private drawn: readonly string[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly model: DemoModel,
    private readonly terminal: Terminal,
  ) {}

  start(): void {
    this.terminal.write(HIDE_CURSOR);
    this.timer = setInterval(() => this.draw(), REDRAW_MS);
    this.draw();
  }

  stop(): void {
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.draw();
    this.terminal.write(SHOW_CURSOR);
  }

  draw(): void {
    const { columns = 80, rows = 24 } = this.terminal;
    const lines = frame(this.model, Math.max(3, Math.min(12, rows - 16)), columns)
      // The last row stays free: writing into it scrolls.
      .slice(0, rows - 1)
      .map((line) => line.slice(0, columns - 1));
    this.terminal.write(`${this.up(columns)}${ERASE_DOWN}${lines.join('\n')}\n`);
    this.drawn = lines;
  }

  /** Back to the first line. A window that became narrower has wrapped the old lines. */
  private up(columns: number): string {
    const height = this.drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);
    return height === 0 ? '' : `\x1b[${height}A\r`;
  }
}
