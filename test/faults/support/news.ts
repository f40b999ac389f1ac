import { setTimeout as delay } from 'node:timers/promises';
import type { RawEtcd } from '../../support/raw-etcd.js';
import type { RowContext } from './row-context.js';

/** Nobody listens there, and nobody calls: this service is only read. */
const addressOf = (number: number): string => `10.255.${Math.floor(number / 250)}.${(number % 250) + 1}:50051`;

/**
 * A service of instances that exist in etcd only, written by a program without the library: what a reader must learn
 * while its way to etcd is broken.
 */
export class News {
  readonly service = 'news';
  /** Revisions written so far. */
  changes = 0;
  private version = 0;

  constructor(
    private readonly row: RowContext,
    private readonly raw: RawEtcd,
  ) {}

  key(number: number): string {
    return `${this.row.namespace}/${this.service}/n${number}`;
  }

  /** A value as the library stores it, another one each time. `padding`: bytes of metadata. */
  value(number: number, padding = 0): string {
    const address = addressOf(number);
    const { service: name } = this;
    const id = `n${number}`;
    // The weight tells one value from the next.
    const weight = (this.version++ % 10_000) + 1;
    const metadata = { padding: 'x'.repeat(padding) };
    const endpoints = [`grpc://${address}`];
    return JSON.stringify({ Op: 0, Addr: address, id, name, metadata, endpoints, address, weight, ...REST });
  }

  /** Writes the instances `from` to `to`, exclusively, a hundred at a time. */
  async put(from: number, to: number, padding = 0): Promise<void> {
    for (let first = from; first < to; first += 100) {
      const numbers = Array.from({ length: Math.min(100, to - first) }, (_, at) => first + at);
      await this.raw.change(Object.fromEntries(numbers.map((n) => [this.key(n), this.value(n, padding)])));
      this.changes++;
    }
  }

  async delete(...numbers: number[]): Promise<void> {
    await this.raw.change(
      {},
      numbers.map((n) => this.key(n)),
    );
    this.changes++;
  }

  /** One instance for another, at one revision. */
  async replace(old: number, young: number): Promise<void> {
    await this.raw.change({ [this.key(young)]: this.value(young) }, [this.key(old)]);
    this.changes++;
  }

  /** Adds, changes and deletes one instance after the other until it is stopped; few of ten at a time are missing. */
  churn(perSecond: number): { stop: () => Promise<void> } {
    const stopping = new AbortController();
    const loop = (async () => {
      await this.put(0, 10);
      for (let at = 0; !stopping.signal.aborted; at++) {
        await this.put(10 + (at % 4), 11 + (at % 4));
        await delay(1_000 / perSecond);
        if (at % 2 === 1) await this.delete(10 + (at % 4));
      }
    })();
    // Told by stop(), which every row awaits.
    loop.catch(() => undefined);
    const churn = {
      stop: () => {
        stopping.abort();
        return loop;
      },
    };
    return this.row.defer(churn, ({ stop }) => stop());
  }
}

const REST = { status: 'up', registeredAt: '2026-01-31T12:00:00.000Z' };
