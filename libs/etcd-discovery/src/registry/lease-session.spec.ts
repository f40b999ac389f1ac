import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../test/support/fake-clock.js';
import { RegistryFakeEtcd } from '../../test/support/registry-fake-etcd.js';
import { EtcdRequestError } from '../etcd/etcd-status.js';
import type { LeaseEvent } from './lease.js';
import { LeaseSession } from './lease-session.js';

const unreachable = new EtcdRequestError('unreachable', 'no route');

describe('the lease of a process', () => {
  let clock: FakeClock;
  let etcd: RegistryFakeEtcd;
  let session: LeaseSession;
  let events: LeaseEvent[];
  let warnings: string[];
  /** In the middle of every jitter. */
  let random = 0.5;

  const types = () => events.map(({ type }) => type);
  const keepAlivesAt: number[] = [];

  beforeEach(() => {
    clock = new FakeClock();
    etcd = new RegistryFakeEtcd(clock);
    events = [];
    warnings = [];
    random = 0.5;
    keepAlivesAt.length = 0;
    const log = { debug() {}, log() {}, warn: (line: string) => void warnings.push(line), error() {} };
    session = new LeaseSession({ etcd, clock, random: () => random, log });
    session.onEvent((event) => {
      events.push(event);
    });
    etcd.fate = ({ op }) => {
      if (op === 'keepAlive') keepAlivesAt.push(clock.now());
      return undefined;
    };
  });

  afterEach(async () => {
    const closing = session.close();
    await clock.advance(5_000);
    await closing;
    for (const id of etcd.leases.keys()) etcd.endLease(id);
    await clock.advance(10);
    expect(clock.pending, 'timers left behind').toBe(0);
    expect(etcd.gate.listenerCount, 'gate listeners left behind').toBe(0);
  });

  const startWith = async (ttlMs = 10_000) => {
    session.start(ttlMs);
    await clock.advance(10);
  };

  it('does not exist before it is started', async () => {
    await clock.advance(60_000);
    expect(etcd.requests).toEqual([]);
    expect(session.state.kind).toBe('idle');
  });

  it('takes the smallest TTL of those who start it together, rounded up to whole seconds', async () => {
    session.start(10_000);
    session.start(4_200);
    session.start(30_000);
    await clock.advance(10);
    expect(session.lease).toMatchObject({ ttlSeconds: 5, generation: 1 });
    expect(etcd.count('grant')).toBe(1);
  });

  it('is replaced when a shorter TTL is asked for later; the old one stays until the keys have moved', async () => {
    await startWith(10_000);
    const old = session.lease!.id;
    session.start(4_000);
    await clock.advance(200);
    expect(session.lease).toMatchObject({ ttlSeconds: 4, generation: 2 });
    expect(session.isSuperseded(old)).toBe(true);
    expect(etcd.leases.has(old)).toBe(true);
    expect(warnings).toEqual([]);
    void session.close();
    await clock.advance(10);
    expect([...etcd.leases.keys()]).toEqual([]);
  });

  it('is renewed every third of the TTL, ±10 %', async () => {
    random = 0;
    await startWith();
    await clock.advance(3_010);
    random = 0.999;
    await clock.advance(7_000);
    expect(keepAlivesAt[0]).toBeCloseTo(3_000, -1.5);
    expect(keepAlivesAt[1]! - keepAlivesAt[0]!).toBeCloseTo(3_000, -1.5);
    expect(keepAlivesAt[2]! - keepAlivesAt[1]!).toBeCloseTo(3_666, -1.5);
  });

  it('counts by the TTL that was granted, not by the one asked for', async () => {
    etcd.grantedTtl = () => 30;
    await startWith(2_000);
    await clock.advance(9_900);
    expect(keepAlivesAt).toEqual([]);
    await clock.advance(200);
    expect(keepAlivesAt).toHaveLength(1);
  });

  it('waits for a renewal TTL/5, twice, and only then longer', async () => {
    await startWith();
    const sentAt: number[] = [];
    etcd.fate = ({ op }) => (op === 'keepAlive' ? (sentAt.push(clock.now()), 'hang') : undefined);
    await clock.advance(15_000);
    const gaps = sentAt.slice(1).map((at, i) => at - sentAt[i]!);
    expect(gaps[0]).toBeCloseTo(2_000, -2);
    expect(gaps[1]).toBeGreaterThanOrEqual(2_000);
    expect(gaps[1]).toBeLessThan(2_200);
    expect(gaps[2]).toBeGreaterThanOrEqual(3_333);
  });

  it.each([
    ['shorter than its TTL', 5_000, 3_333],
    ['longer than its TTL', 20_000, 3_333],
  ])('waits longer for its first renewal after a break %s, when everybody connects anew', async (_, breakMs, ms) => {
    await startWith();
    etcd.goDown({ keepLeases: true });
    await clock.advance(breakMs);
    etcd.comeBack();
    etcd.latencyMs = ms - 100;
    await clock.advance(ms);
    expect(types().at(-1)).toBe('renewed');
    expect(types()).not.toContain('lost');
    const failed = types().filter((type) => type === 'failed').length;
    expect(failed).toBeLessThanOrEqual(1);
  });

  it('gives a lease of the shortest TTL that is overdue anyway 2 s to be renewed', async () => {
    await startWith(2_000);
    etcd.goDown({ keepLeases: true });
    await clock.advance(4_000);
    etcd.comeBack();
    etcd.latencyMs = 1_500;
    await clock.advance(1_600);
    expect(types().at(-1)).toBe('renewed');
    etcd.latencyMs = 1;
  });

  it('keeps up with an etcd that always answers late', async () => {
    await startWith();
    etcd.latencyMs = 2_500;
    await clock.advance(120_000);
    expect(types()).not.toContain('lost');
    expect(etcd.leases.size).toBe(1);
    expect(etcd.count('grant')).toBe(1);
  });

  it('survives an outage longer than its TTL when etcd still has it', async () => {
    await startWith();
    const { id } = session.lease!;
    etcd.goDown({ keepLeases: true });
    await clock.advance(60_000);
    expect(session.state).toMatchObject({ kind: 'held', overdue: true });
    expect(session.lease).toBeUndefined();
    const before = etcd.requests.length;
    etcd.comeBack();
    await clock.advance(10);
    expect(etcd.requests.slice(before).map(({ op }) => op)).toEqual(['keepAlive']);
    expect(session.lease).toMatchObject({ id, generation: 1 });
    expect(types()).not.toContain('lost');
  });

  it('sends nothing while the gate is closed, and renews as soon as it opens', async () => {
    await startWith();
    etcd.goDown({ keepLeases: true });
    const before = etcd.requests.length;
    await clock.advance(30_000);
    expect(etcd.requests.length - before).toBeLessThanOrEqual(1);
    etcd.comeBack();
    await clock.advance(5);
    expect(types().at(-1)).toBe('renewed');
  });

  it('is renewed at once after a break that was shorter than a beat', async () => {
    await startWith();
    etcd.goDown({ keepLeases: true });
    await clock.advance(500);
    etcd.comeBack();
    await clock.advance(5);
    expect(types()).toEqual(['granted', 'renewed']);
  });

  it('is granted anew, with the next generation, when it ran out meanwhile', async () => {
    await startWith();
    const first = session.lease!;
    etcd.goDown();
    await clock.advance(20_000);
    expect(etcd.leases.size).toBe(0);
    etcd.comeBack();
    await clock.advance(1_010);
    expect(session.lease?.id).not.toBe(first.id);
    expect(session.lease?.generation).toBe(2);
    const lost = events.find(({ type }) => type === 'lost');
    expect(lost).toMatchObject({ lease: first, reason: expect.stringContaining('ran out') });
    expect(session.owns(first.id)).toBe(true);
  });

  it('is asked for anew within a second when etcd was away, because everybody else lost theirs too', async () => {
    await startWith();
    random = 0.8;
    etcd.goDown();
    await clock.advance(20_000);
    etcd.comeBack();
    await clock.advance(790);
    expect(session.lease).toBeUndefined();
    expect(etcd.count('grant')).toBe(1);
    await clock.advance(20);
    expect(session.lease?.generation).toBe(2);
  });

  it('waits as long as a renewal for its successor when etcd was away, because everybody asks at once', async () => {
    await startWith();
    etcd.goDown();
    await clock.advance(20_000);
    etcd.comeBack();
    etcd.fate = ({ op }) => (op === 'grant' ? 'hang' : undefined);
    await clock.advance(600);
    expect(etcd.count('grant')).toBe(2);
    await clock.advance(3_200);
    expect(etcd.count('grant')).toBe(2);
    etcd.fate = () => undefined;
    await clock.advance(500);
    expect(session.lease).toMatchObject({ generation: 2, crowded: true });
  });

  it('is granted anew at once when it was lost alone, also after an outage that it survived', async () => {
    await startWith();
    etcd.goDown({ keepLeases: true });
    await clock.advance(20_000);
    etcd.comeBack();
    await clock.advance(1_100);
    expect(session.lease?.generation).toBe(1);
    etcd.endLease(session.lease!.id);
    const at: Partial<Record<LeaseEvent['type'], number>> = {};
    session.onEvent(({ type }) => void (at[type] = clock.now()));
    await clock.advance(3_400);
    expect(session.lease?.generation).toBe(2);
    expect(at.granted! - at.lost!).toBeLessThan(10);
  });

  it('is granted anew when a put under it says that it is gone, and only for the current generation', async () => {
    await startWith();
    const first = session.lease!;
    session.reportGone(first);
    expect(session.lease).toBeUndefined();
    await clock.advance(200);
    expect(session.lease?.generation).toBe(2);
    session.reportGone(first);
    await clock.advance(200);
    expect(session.lease?.generation).toBe(2);
    expect(etcd.count('grant')).toBe(2);
  });

  it('is not granted in a hot loop when it is revoked again and again', async () => {
    await startWith();
    for (let i = 0; i < 200; i++) {
      if (session.lease) session.reportGone(session.lease);
      await clock.advance(50);
    }
    expect(etcd.count('grant')).toBeLessThan(60);
    expect(session.lease ?? session.state.kind).toBeTruthy();
  });

  it('never gives up being granted, and asks a healthy etcd that refuses at most every few seconds', async () => {
    etcd.fate = ({ op }) => (op === 'grant' ? new EtcdRequestError('no-space', 'database space exceeded') : undefined);
    await startWith();
    await clock.advance(600_000);
    expect(etcd.count('grant')).toBeGreaterThan(100);
    expect(etcd.count('grant')).toBeLessThan(350);
    expect(warnings).toHaveLength(1);
    expect(session.trouble).toContain('database space exceeded');
    etcd.fate = () => undefined;
    await clock.advance(6_000);
    expect(session.lease).toBeDefined();
    expect(session.trouble).toBeUndefined();
  });

  it('is overdue one TTL after the last renewal that was confirmed had been sent', async () => {
    await startWith();
    await clock.advance(4_000);
    const lastSentAt = keepAlivesAt.at(-1)!;
    etcd.goDown({ keepLeases: true });
    await clock.advance(lastSentAt + 9_990 - clock.now());
    expect(session.lease).toBeDefined();
    await clock.advance(20);
    expect(session.lease).toBeUndefined();
    expect(types().at(-1)).toBe('overdue');
    etcd.comeBack();
  });

  it('goes on renewing after single failures without anybody noticing', async () => {
    await startWith();
    let n = 0;
    etcd.fate = ({ op }) => (op === 'keepAlive' && n++ % 2 === 0 ? unreachable : undefined);
    await clock.advance(60_000);
    expect(new Set(types())).toEqual(new Set(['granted', 'renewed', 'failed']));
    expect(warnings).toEqual([]);
  });

  it('goes on when a listener throws', async () => {
    session.onEvent(() => {
      throw new Error('a defect of somebody else');
    });
    await startWith();
    await clock.advance(60_000);
    expect(session.lease).toBeDefined();
  });

  describe('on close', () => {
    it('revokes the lease, and twice is the same as once', async () => {
      await startWith();
      const closing = session.close();
      expect(session.close()).toBe(closing);
      await clock.advance(10);
      await closing;
      expect(etcd.leases.size).toBe(0);
      expect(etcd.count('revoke')).toBe(1);
      expect(clock.pending).toBe(0);
    });

    it('waits for a grant in flight, so that it can be revoked', async () => {
      etcd.latencyMs = 500;
      session.start(10_000);
      await settle();
      const closing = session.close();
      await clock.advance(1_200);
      await closing;
      expect(etcd.count('grant')).toBe(1);
      expect(etcd.leases.size).toBe(0);
    });

    it.each(['idle', 'granting', 'held', 'overdue'] as const)(
      'ends within 3.2 s on a frozen etcd while %s',
      async (when) => {
        if (when === 'held' || when === 'overdue') await startWith();
        if (when === 'overdue') etcd.goDown();
        if (when === 'overdue') await clock.advance(20_000);
        etcd.freeze();
        if (when === 'granting') await startWith();
        let closed = false;
        void session.close().then(() => (closed = true));
        await clock.advance(3_200);
        expect(closed).toBe(true);
      },
    );

    it('is started by nobody any more afterwards', async () => {
      await session.close();
      session.start(10_000);
      await clock.advance(1_000);
      expect(etcd.requests).toEqual([]);
    });
  });
});
