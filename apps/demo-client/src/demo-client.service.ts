import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { OnApplicationBootstrap, OnModuleDestroy } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { ClientGrpc } from '@nestjs/microservices';
import { DiscoveryService, InjectGrpcClient } from 'nestjs-etcd-discovery';
import { Subscription } from 'rxjs';
import { demoClientSettings, SERVICE } from './demo-client.settings.js';
import { InstanceWatcher } from './instance.watcher.js';
import { LoadRunner } from './load.runner.js';
import type { NotificationClient } from './notification.client.js';
import { keepWatching } from './notification.watcher.js';
import { createReporter } from './reporter.js';
import type { Reporter } from './reporter.interface.js';

/** Calls the notification service through etcd at a steady rate and says what happens. */
@Injectable()
export class DemoClientService implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly subscriptions = new Subscription();
  private readonly reporter: Reporter;
  private readonly load: LoadRunner;
  private readonly instances: InstanceWatcher;
  private readonly notifications: NotificationClient;
  private readonly ending = new AbortController();
  private stopping: Promise<void> | undefined;

  constructor(
    @InjectGrpcClient(SERVICE) client: ClientGrpc,
    private readonly discovery: DiscoveryService,
    config: ConfigService,
  ) {
    const { callsPerSecond, output } = demoClientSettings(config);
    this.reporter = createReporter(output);
    this.notifications = client.getService<NotificationClient>('NotificationService');
    this.instances = new InstanceWatcher((message) => this.reporter.tell(message));
    this.load = new LoadRunner({
      client: this.notifications,
      owner: randomBytes(4).toString('hex'),
      callsPerSecond,
      instanceAt: (address) => this.instances.idAt(address),
      onFirstAnswer: () => this.reporter.tell({ type: 'first-call', at: Date.now() }),
    });
  }

  onApplicationBootstrap(): void {
    this.subscriptions.add(this.discovery.watchService(SERVICE).subscribe((event) => this.instances.onEvent(event)));
    // Also keeps the process alive while there is nothing to call yet.
    const timer = setInterval(() => this.report(), this.reporter.intervalMs);
    this.subscriptions.add(() => clearInterval(timer));
    void this.begin();
  }

  /** Calls from now on are counted under this name. */
  enter(phase: string): void {
    this.load.phase = phase;
  }

  /** Starts no more calls, lets those in flight end, and tells the rest. */
  stop(): Promise<void> {
    return (this.stopping ??= this.finish());
  }

  async onModuleDestroy(): Promise<void> {
    await this.stop();
  }

  /** A client that starts before its service waits for it. */
  private async begin(): Promise<void> {
    const { signal } = this.ending;
    for (let found = false; !found && !signal.aborted;) {
      found = await this.discovery.waitForService(SERVICE, { timeoutMs: 30_000, minInstances: 1, signal }).then(
        () => true,
        (error: Error) => {
          if (!signal.aborted) console.error(`still waiting: ${error.message}`);
          return false;
        },
      );
    }
    if (signal.aborted) return;
    this.reporter.tell({ type: 'ready', pid: process.pid });
    this.subscriptions.add(keepWatching(this.notifications, () => this.load.stats));
    this.load.start();
  }

  private async finish(): Promise<void> {
    this.ending.abort();
    await this.load.stop();
    this.subscriptions.unsubscribe();
    this.report();
    this.reporter.tell({ type: 'done' });
  }

  private report(): void {
    this.reporter.tell({ type: 'report', at: Date.now(), phases: this.load.take() });
  }
}
