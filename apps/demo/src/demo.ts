import { setTimeout as delay } from 'node:timers/promises';
import type { ClientMessage } from '../../common/src/demo-messages.js';
import type { DemoArguments } from './arguments.js';
import { type DemoEtcd, etcdctlLine, openEtcd } from './etcd/demo-etcd.js';
import { EtcdView } from './etcd/etcd-view.js';
import { ChangeTracker } from './model/change-tracker.js';
import type { DemoModel } from './model/demo-model.js';
import type { Child } from './processes/child.js';
import { ClientGroup } from './processes/client-group.js';
import { ServerFleet } from './processes/server-fleet.js';
import { phasesFor, playPhase } from './scenario.js';

const SERVICE = 'notification-server';
const START_WITHIN_MS = 30_000;
const VIEW_MS = 500;
const GIVEN_ETCD_ATTEMPTS = 3;

/** One run, from its etcd to the last call. */
export class Demo {
  private etcd: DemoEtcd | undefined;
  private view: EtcdView | undefined;
  private fleet: ServerFleet | undefined;
  private clients: ClientGroup | undefined;
  private changes: ChangeTracker;
  private viewTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly args: DemoArguments,
    private readonly model: DemoModel,
    private readonly signal: AbortSignal,
  ) {
    this.changes = new ChangeTracker(args.clients);
  }

  get etcdKind(): DemoEtcd['kind'] | undefined {
    return this.etcd?.kind;
  }

  /** Starts everything and plays all phases. Rejects when the signal aborts, or when something does not start. */
  async run(): Promise<void> {
    const { args, model, signal } = this;
    const etcd = await this.openEtcd();
    const phases = phasesFor(etcd);
    model.plannedPhases = 1 + phases.length + Number(args.keep);
    signal.throwIfAborted();
    const start = model.begin('start', 'start');
    const { fleet, clients } = this.startProcesses(etcd);
    await this.started(fleet);
    start.seconds = model.now() / 1_000;
    const stage = { model, fleet, changes: this.changes, etcd, signal };
    for (const phase of phases) {
      clients.enter(phase.name);
      await playPhase(phase, stage, args.phaseSeconds * 1_000);
    }
    if (args.keep) {
      clients.enter('keep');
      model.begin('keep', 'until Ctrl+C');
      model.event('all phases played; Ctrl+C ends the run');
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      return;
    }
    // Calls of the last phase that are still under way are counted, not cut.
    await clients.stop();
  }

  /** Stops what runs, clients first and etcd last. */
  async stop(): Promise<void> {
    await this.clients?.stop();
    await this.fleet?.stopAll();
    clearInterval(this.viewTimer);
    this.view?.close();
    await this.etcd?.close();
  }

  private async openEtcd(): Promise<DemoEtcd> {
    const { model } = this;
    const etcd = await openEtcd(this.args, (child, how) => this.onUnexpectedExit(child, how));
    this.etcd = etcd;
    model.etcdDescription = etcd.description;
    model.etcdctl = etcdctlLine(etcd);
    model.event(`etcd: ${etcd.description}`);
    model.event(`look for yourself: ${model.etcdctl}`);
    const view = new EtcdView(etcd.endpoints, etcd.namespace, etcd.env);
    this.view = view;
    if (etcd.kind === 'given') await this.firstAnswer(view, etcd.description);
    let reading = false;
    this.viewTimer = setInterval(() => {
      if (reading) return;
      reading = true;
      void view.read(SERVICE).then((stored) => {
        model.stored = stored;
        reading = false;
      });
    }, VIEW_MS);
    return etcd;
  }

  /** An etcd that somebody named and that is not there is said at once, not found out by what cannot start without it. */
  private async firstAnswer(view: EtcdView, description: string): Promise<void> {
    for (let attempt = 1; (await view.read(SERVICE)) === undefined; attempt += 1) {
      this.signal.throwIfAborted();
      if (attempt < GIVEN_ETCD_ATTEMPTS) continue;
      throw new Error(
        `${description}: it cannot be used (${view.error ?? 'no answer'}). ` +
          'Start it, or run the demo without ETCD_ENDPOINTS and --use-local: it then starts an etcd of its own.',
      );
    }
  }

  private startProcesses({ env }: DemoEtcd): { fleet: ServerFleet; clients: ClientGroup } {
    const onUnexpectedExit = (child: Child, how: string) => this.onUnexpectedExit(child, how);
    const fleet = new ServerFleet({ env, event: (text) => this.model.event(text), onUnexpectedExit });
    this.fleet = fleet;
    for (let index = 0; index < this.args.instances; index += 1) {
      this.changes.expect('added', fleet.add().child.pid);
    }
    const clients = new ClientGroup({
      count: this.args.clients,
      callsPerSecond: this.args.rps,
      env,
      onMessage: (client, message) => this.onMessage(client, message),
      onUnexpectedExit,
    });
    this.clients = clients;
    for (const [index, pid] of clients.start().entries()) this.model.event(`client ${index + 1} starts (pid ${pid})`);
    return { fleet, clients };
  }

  /** Every client knows every server, and a call has been answered. */
  private async started(fleet: ServerFleet): Promise<void> {
    const { model, signal } = this;
    const settled = await this.changes.settled(START_WITHIN_MS, signal);
    for (
      const until = performance.now() + START_WITHIN_MS;
      model.firstCallMs === undefined;
      await delay(20, undefined, { signal })
    ) {
      if (settled && performance.now() < until && model.problems.length === 0) continue;
      const outputs = fleet.all.map(({ child }) => `--- ${child.name}\n${child.output}`);
      throw new Error(
        `the servers and clients did not come up within ${START_WITHIN_MS / 1_000} s\n${outputs.join('\n')}`,
      );
    }
    // How long a client took that was not there when its servers registered says nothing.
    this.changes.take();
  }

  private onMessage(client: number, message: ClientMessage): void {
    const { model } = this;
    switch (message.type) {
      case 'instance':
        this.changes.seen(client, message);
        if (message.change !== 'updated' || message.reason !== undefined) {
          const why = message.reason === undefined ? '' : `, ${message.reason}`;
          model.event(`client ${client + 1}: ${message.change} ${message.id} (pid ${message.pid ?? '?'}${why})`);
        }
        return;
      case 'first-call':
        if (model.firstCallMs !== undefined) return;
        model.firstCallMs = model.now();
        model.event('first successful call');
        return;
      case 'report':
        for (const [phase, report] of Object.entries(message.phases)) model.addReport(phase, report);
        return;
      default:
    }
  }

  private onUnexpectedExit(child: Child, how: string): void {
    this.model.problem(
      `${child.name} (pid ${child.pid}) ended by itself: ${how}${child.output === '' ? '' : `\n${child.output}`}`,
    );
  }
}
