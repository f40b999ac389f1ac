/** One reading of etcd's own `/metrics`. */
export class EtcdMetrics {
  private constructor(
    /** Monotonic time of the reading, ms. */
    readonly at: number,
    private readonly text: string,
  ) {}

  static async read(endpoint: string): Promise<EtcdMetrics> {
    const response = await fetch(`http://${endpoint}/metrics`, { signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    return new EtcdMetrics(performance.now(), text);
  }

  /** A metric without labels; NaN when etcd does not have it. */
  value(name: string): number {
    return Number(new RegExp(`^${name} (.*)$`, 'm').exec(this.text)?.[1] ?? Number.NaN);
  }

  /** gRPC calls that were made between `earlier` and this reading, by method; a stream counts once. */
  callsSince(earlier: EtcdMetrics): Record<string, number> {
    return this.since(earlier, 'grpc_server_started_total');
  }

  /** Messages that clients have sent between `earlier` and this reading, by method: calls, and what goes over streams. */
  messagesSince(earlier: EtcdMetrics): Record<string, number> {
    return this.since(earlier, 'grpc_server_msg_received_total');
  }

  private since(earlier: EtcdMetrics, metric: string): Record<string, number> {
    const before = earlier.byMethod(metric);
    const differences = [...this.byMethod(metric)].map(([name, count]) => [name, count - (before.get(name) ?? 0)]);
    return Object.fromEntries(differences.filter(([, count]) => Number(count) > 0)) as Record<string, number>;
  }

  private byMethod(metric: string): Map<string, number> {
    const counts = new Map<string, number>();
    for (const [, labels, count] of this.text.matchAll(new RegExp(`^${metric}\\{(.*)\\} (\\S+)$`, 'gm'))) {
      const method = /grpc_method="([^"]*)"/.exec(labels!)?.[1];
      if (method) counts.set(method, (counts.get(method) ?? 0) + Number(count));
    }
    return counts;
  }
}

export const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
