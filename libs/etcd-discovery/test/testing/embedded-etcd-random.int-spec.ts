import * as fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { comparable, isProgress, toldCount, watchSummary } from './support/comparable.js';
import { Pair } from './support/pair.js';
import type { RawEtcd, WatchCall } from './support/raw-etcd.js';
import { FARTHEST_START, type Operation, operation, type SequenceContext } from './support/sequences.js';

/** Sequences per run; more on request, for a longer search. */
const RUNS = Number(process.env.CONFORMANCE_RUNS ?? 1_000);
/** Repeats what a failure printed. */
const SEED = process.env.CONFORMANCE_SEED ? Number(process.env.CONFORMANCE_SEED) : undefined;
/** Pairs of servers that work side by side: most of the time is spent waiting for the real one. */
const LANES = 3;
const TIME_LIMIT_MS = 60_000 + RUNS * 60;

/** One sequence on one pair of servers, under a prefix of its own. */
class Sequence {
  private watches: [real: WatchCall, embedded: WatchCall] | undefined;
  /** A watch was opened that may have to replay the past. */
  private replaying = false;

  private constructor(
    private readonly pair: Pair,
    /** The two servers may have drifted apart after a failure: each counts from its own revision. */
    private readonly contexts: [real: SequenceContext, embedded: SequenceContext],
  ) {}

  static async begin(pair: Pair, number: number): Promise<Sequence> {
    const prefix = `random/${String(number).padStart(6, '0')}/`;
    const leaseId = (slot: number) => (slot === 0 ? '0' : String(number * 10 + slot));
    const contexts = await pair.both(async (client): Promise<SequenceContext> => {
      const { header } = await client.ok('KV', 'Range', { key: Buffer.from('random') });
      return { prefix, leaseId, revision: Number((header as { revision: string }).revision) };
    });
    return new Sequence(pair, contexts);
  }

  async run(operations: readonly Operation[]): Promise<void> {
    for (const [index, step] of operations.entries()) await this.step(step, `operation ${index}`);
    await this.end();
  }

  private async step(step: Operation, what: string): Promise<void> {
    switch (step.type) {
      case 'call':
        // What a watch can tell of the past depends on when that is compacted: first let it have its events.
        if (step.method === 'Compact') await this.settle();
        return this.same(`${what}: ${step.method}`, (client, context) =>
          client.call(step.service, step.method, step.request(context)),
        );
      case 'keepAlive':
        return this.same(`${what}: keep-alive`, (client, context) => client.keepAlive(context.leaseId(step.slot)));
      case 'watch': {
        const watches = (this.watches ??= await this.pair.both(async (client) => client.watch()));
        const created = () => watches.map(({ responses }) => responses.filter((answer) => answer.created).length);
        const before = created();
        this.replaying = true;
        watches.forEach((watch, index) => watch.write({ create_request: step.request(this.contexts[index]!) }));
        return this.waitFor(() => created().every((count, index) => count > before[index]!));
      }
      case 'cancelWatch':
        await this.settle();
        this.watches?.forEach((watch) => watch.write({ cancel_request: { watch_id: step.id } }));
        // The answer says at which revision it was: nothing may be written before.
        if (this.watches) await this.handled();
    }
  }

  private async same(what: string, call: (client: RawEtcd, context: SequenceContext) => ReturnType<RawEtcd['call']>) {
    const [inReal, inEmbedded] = this.contexts;
    const [real, embedded] = await Promise.all([call(this.pair.real, inReal), call(this.pair.embedded, inEmbedded)]);
    expect(comparable(embedded, inEmbedded), what).toEqual(comparable(real, inReal));
  }

  /**
   * Waits until both have told everything, and every watch that replays has caught up: the real one replays, and cancels
   * for compaction, only every 100 ms.
   */
  private async settle(): Promise<void> {
    if (!this.watches) return;
    if (this.replaying) await this.replayed();
    this.replaying = false;
    await this.handled();
    const [real, embedded] = this.watches;
    await this.waitFor(() => toldCount(real) >= toldCount(embedded));
  }

  /** Waits until both have handled all that was written to the watch call: they answer in order. */
  private async handled(): Promise<void> {
    const { watches } = this;
    const answered = () => watches!.map(({ responses }) => responses.filter(isProgress).length);
    const before = answered();
    watches!.forEach((watch) => watch.write({ progress_request: {} }));
    await this.waitFor(() => answered().every((count, index) => count > before[index]!));
  }

  /** One more watch that replays: etcd lets all of them catch up in one go, so what it tells is the end of the others. */
  private async replayed(): Promise<void> {
    const key = Buffer.from('random-probe');
    const probes = await this.pair.both(async (client) => {
      const { header } = await client.ok('KV', 'Put', { key });
      const probe = client.watch();
      probe.write({ create_request: { key, start_revision: (header as { revision: string }).revision } });
      return probe;
    });
    await this.waitFor(() => probes.every((probe) => toldCount(probe) > 1));
    probes.forEach((probe) => probe.cancel());
  }

  private waitFor(reached: () => boolean): Promise<void> {
    return vi.waitFor(() => expect(reached(), 'the watch has told it').toBe(true), { timeout: 3_000, interval: 2 });
  }

  /** Makes sure that every watch has something to tell, compares all that was told, and tidies up. */
  private async end(): Promise<void> {
    const { prefix, leaseId } = this.contexts[0];
    const key = Buffer.from(`${prefix}a`);
    const all = { key: Buffer.from(prefix), range_end: Buffer.from(`${prefix}~`) };
    if (this.watches) {
      do await this.pair.both((client) => client.ok('KV', 'Put', { key }));
      while (this.pair.etcd.revision <= this.contexts[1].revision + FARTHEST_START);
      await this.pair.both((client) => client.ok('KV', 'DeleteRange', all));
      await this.settle();
      const [real, embedded] = this.watches.map((watch, index) => watchSummary(watch, this.contexts[index]!));
      expect(embedded, 'what the watches told').toEqual(real);
      this.watches.forEach((watch) => watch.cancel());
    }
    await this.pair.both(async (client) => {
      await client.call('KV', 'DeleteRange', all);
      for (const slot of [1, 2, 3]) await client.call('Lease', 'LeaseRevoke', { ID: leaseId(slot) });
    });
  }
}

describe('an embedded etcd beside a real one: random sequences of operations', () => {
  const share = Math.ceil(RUNS / LANES);
  it.concurrent.each(Array.from({ length: LANES }, (_, lane) => lane))(
    `answers ${share} sequences as the real one does (%i)`,
    { timeout: TIME_LIMIT_MS + 30_000 },
    async (lane) => {
      await using pair = await Pair.start();
      let sequences = 0;
      let operations = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 25, size: 'max' }), async (steps) => {
          operations += steps.length;
          await (await Sequence.begin(pair, sequences++)).run(steps);
        }),
        {
          numRuns: share,
          ...(SEED === undefined ? {} : { seed: SEED }),
          // A failure that takes long to shrink is told as it is.
          interruptAfterTimeLimit: TIME_LIMIT_MS,
          markInterruptAsFailure: true,
        },
      );
      console.log(`lane ${lane}: ${sequences} sequences, ${operations} operations compared`);
    },
  );
});
