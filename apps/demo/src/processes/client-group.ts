import type { ClientCommand, ClientMessage } from '../../../common/src/demo-messages.js';
import { Child } from './child.js';

/** Longer than the deadline of a call: what is in flight at the end still counts. */
const SETTLE_MS = 20_000;

export interface ClientGroupDeps {
  readonly count: number;
  readonly callsPerSecond: number;
  readonly env: NodeJS.ProcessEnv;
  /** @param client number of the client, from 0 */
  readonly onMessage: (client: number, message: ClientMessage) => void;
  readonly onUnexpectedExit: (child: Child, how: string) => void;
}

/** The demo clients, each its own process; the load is shared equally. */
export class ClientGroup {
  private readonly children: Child[] = [];

  constructor(private readonly deps: ClientGroupDeps) {}

  /** @returns their process ids */
  start(): readonly number[] {
    const { count, callsPerSecond, env, onMessage, onUnexpectedExit } = this.deps;
    for (let client = 0; client < count; client += 1) {
      this.children.push(
        new Child({
          name: `client ${client + 1}`,
          script: 'demo-client/src/main.js',
          env: { ...env, DEMO_CLIENT_RPS: String(callsPerSecond / count) },
          onMessage: (message) => onMessage(client, message as ClientMessage),
          onUnexpectedExit,
        }),
      );
    }
    return this.children.map(({ pid }) => pid);
  }

  enter(phase: string): void {
    this.tell({ type: 'phase', name: phase });
  }

  /** No new calls; resolves when all calls have ended and were counted, and the processes are gone. */
  async stop(): Promise<void> {
    for (const child of this.children) child.expectExit();
    this.tell({ type: 'stop' });
    await Promise.all(this.children.splice(0).map((child) => child.exitedWithin(SETTLE_MS)));
  }

  private tell(command: ClientCommand): void {
    for (const child of this.children) child.tell(command);
  }
}
