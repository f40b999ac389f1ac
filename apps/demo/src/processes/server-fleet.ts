import { Child } from './child.js';

const ZONES = ['a', 'b', 'c'] as const;
const WEIGHT = 10;

export interface FleetDeps {
  readonly env: NodeJS.ProcessEnv;
  readonly event: (text: string) => void;
  readonly onUnexpectedExit: (child: Child, how: string) => void;
}

/** A notification-server and its place: who replaces it gets the same name and zone. */
export interface Server {
  readonly slot: number;
  readonly child: Child;
}

/** The notification-servers of a run, each its own process on a free port. */
export class ServerFleet {
  private readonly servers = new Map<number, Server>();
  private slots = 0;

  constructor(private readonly deps: FleetDeps) {}

  get all(): readonly Server[] {
    return [...this.servers.values()];
  }

  /** Starts another one; it is in etcd a moment later. */
  add(): Server {
    this.slots += 1;
    return this.startIn(this.slots);
  }

  /** Starts a new process in the place of one that has ended. */
  replace({ slot }: Server): Server {
    return this.startIn(slot);
  }

  /** SIGTERM; resolves when the process has ended. */
  async stop(server: Server): Promise<void> {
    this.deps.event(`SIGTERM to server ${server.slot} (pid ${server.child.pid})`);
    this.servers.delete(server.slot);
    await server.child.stop();
  }

  kill(server: Server): void {
    this.deps.event(`kill -9 of server ${server.slot} (pid ${server.child.pid})`);
    this.servers.delete(server.slot);
    server.child.kill();
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.all.map(({ child }) => child.stop()));
    this.servers.clear();
  }

  private startIn(slot: number): Server {
    const zone = ZONES[(slot - 1) % ZONES.length];
    const child = new Child({
      name: `server ${slot}`,
      script: 'notification-server/src/main.js',
      env: {
        ...this.deps.env,
        NOTIFICATION_SERVER_ADDR: '127.0.0.1:0',
        NOTIFICATION_SERVER_ZONE: zone,
        NOTIFICATION_SERVER_WEIGHT: String(WEIGHT),
      },
      onUnexpectedExit: this.deps.onUnexpectedExit,
    });
    const server = { slot, child };
    this.servers.set(slot, server);
    this.deps.event(`server ${slot} starts (pid ${child.pid}, zone ${zone})`);
    return server;
  }
}
