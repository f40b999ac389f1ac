import type { DemoModel } from '../model/demo-model.js';
import { clock, statusLine } from './frame.js';
import type { View } from './view.js';

const STATUS_MS = 2_000;

/** Lines for a pipe or a log: every event, and every two seconds where things stand. */
export class PlainView implements View {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly model: DemoModel,
    private readonly print: (line: string) => void,
  ) {
    model.onEvent(({ atMs, text }) => print(`${clock(atMs)}  ${text}`));
  }

  start(): void {
    this.timer = setInterval(() => this.status(), STATUS_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private status(): void {
    const { model } = this;
    if (model.phase === undefined) return;
    const shares =
      model.stored === undefined
        ? 'etcd does not answer'
        : model.stored.map(({ id, zone }) => `${id} zone ${zone} ${model.callsPerSecond(id).toFixed(0)}/s`).join(', ');
    this.print(`${clock(model.now())}  ${statusLine(model)}; ${shares}`);
  }
}
