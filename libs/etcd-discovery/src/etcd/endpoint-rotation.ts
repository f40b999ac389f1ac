/** What a rotation needs of a connection. */
export interface RotatedConnection {
  readonly endpoint: string;
  /** Connects; a rejection means that this connection will never work. */
  open(): Promise<void>;
  /** Takes no new calls; `drained` is called when those under way are over and it is closed. */
  retire(drained: () => void): void;
  close(reason: string): void;
}

/**
 * The connection of one role (unary calls, watches, lease renewals) to one endpoint at a time. A connection that failed
 * is dropped for good, and the next request gets a fresh one to the next endpoint, so that nothing reconnects on its
 * own behind our back.
 */
export class EndpointRotation<C extends RotatedConnection> {
  private connection: C | undefined;
  /** Whether `connection` has been made, well or not, and logged in. */
  private made = false;
  private readonly live = new Set<C>();
  private failures = 0;

  constructor(
    private readonly endpoints: readonly string[],
    private index: number,
    private readonly connect: (endpoint: string) => C,
  ) {}

  /** The endpoint of the connection in use, or of the next one. */
  get endpoint(): string {
    return this.endpoints[this.index]!;
  }

  /** True when every endpoint has failed since the last success. */
  get exhausted(): boolean {
    return this.failures >= this.endpoints.length;
  }

  /** The connection to use now, made if there is none. @throws what making it throws; that counts as its failure. */
  current(): C {
    if (this.connection) return this.connection;
    let connection: C;
    try {
      connection = this.connect(this.endpoint);
    } catch (error) {
      this.advance();
      throw error;
    }
    this.connection = connection;
    this.made = false;
    this.live.add(connection);
    connection.open().then(
      () => (this.made ||= connection === this.connection),
      () => this.failed(connection),
    );
    return connection;
  }

  /** A request on `connection` was answered. */
  succeeded(connection: C): void {
    if (connection === this.connection) this.failures = 0;
  }

  /** `connection` does not work. Only the first of many calls that say so moves on. */
  failed(connection: C): void {
    connection.retire(() => this.live.delete(connection));
    if (connection !== this.connection) return;
    this.connection = undefined;
    this.advance();
  }

  /**
   * The connection in use may be dead without knowing: the next request makes a new one to the same endpoint. One that
   * is still being made is kept.
   */
  redial(): void {
    const { connection } = this;
    if (!connection || !this.made) return;
    this.connection = undefined;
    connection.retire(() => this.live.delete(connection));
  }

  /** `endpoint` works for others: a role that has yet to try any begins there. */
  startAt(endpoint: string): void {
    const index = this.endpoints.indexOf(endpoint);
    if (!this.connection && this.failures === 0 && index >= 0) this.index = index;
  }

  /** A new round over all endpoints; without a connection it starts at `endpoint`, which works for others. */
  restart(endpoint: string): void {
    this.failures = 0;
    const index = this.endpoints.indexOf(endpoint);
    if (!this.connection && index >= 0) this.index = index;
  }

  close(reason: string): void {
    this.connection = undefined;
    for (const connection of this.live) connection.close(reason);
    this.live.clear();
  }

  private advance(): void {
    this.failures++;
    this.index = (this.index + 1) % this.endpoints.length;
  }
}
