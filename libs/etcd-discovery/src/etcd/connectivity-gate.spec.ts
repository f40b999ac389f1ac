import { beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeClock, settle } from '../../test/support/fake-clock.js';
import { silentLog } from '../utils/log.js';
import { ProbingGate } from './connectivity-gate.js';
import { EtcdRequestError } from './etcd-status.js';

const away = new EtcdRequestError('unreachable', 'nobody answers');

describe('the connectivity gate', () => {
  let clock: FakeClock;
  let probes: number[];
  let answer: () => Promise<unknown>;
  let gate: ProbingGate;
  let random: number;

  beforeEach(() => {
    clock = new FakeClock();
    probes = [];
    answer = () => Promise.reject(away);
    random = 0;
    gate = new ProbingGate({
      clock,
      random: () => random,
      log: silentLog,
      probe: () => {
        probes.push(clock.now());
        return answer();
      },
    });
  });

  const pass = (ms: number) => clock.advance(ms);
  const gaps = () => probes.slice(1).map((at, n) => at - probes[n]!);

  it('starts open and lets everyone pass', async () => {
    expect(gate.state.open).toBe(true);
    await gate.whenOpen();
  });

  it('tries soon, then doubles up to one second and a half of it at random, for ever', async () => {
    random = 0.9999;
    gate.trip(away);
    await pass(30_000);
    expect(probes[0]).toBeLessThanOrEqual(100);
    expect(
      gaps()
        .slice(0, 4)
        .map((gap) => Math.round(gap / 100)),
    ).toEqual([3, 6, 12, 15]);
    expect(
      gaps()
        .slice(4)
        .every((gap) => gap >= 1_000 && gap <= 1_510),
    ).toBe(true);
    expect(probes.length).toBeGreaterThan(18);
  });

  it('has one attempt under way at a time', async () => {
    let running = 0;
    let most = 0;
    answer = async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => clock.after(3_000, resolve));
      running--;
      throw away;
    };
    gate.trip(away);
    for (let n = 0; n < 100; n++) gate.trip(away);
    await pass(20_000);
    expect(most).toBe(1);
    expect(probes.length).toBeGreaterThan(3);
  });

  it('counts the time that an attempt took: one that waited two seconds is followed by the next at once', async () => {
    answer = async () => {
      await new Promise<void>((resolve) => clock.after(2_000, resolve));
      throw away;
    };
    random = 0.5;
    gate.trip(away);
    await pass(20_000);
    expect(gaps()).toEqual(gaps().map(() => 2_050));
    expect(gaps().length).toBeGreaterThan(7);
  });

  it('opens with the first answer and lets go whoever waits', async () => {
    gate.trip(away);
    const waiters = [gate.whenOpen(), gate.whenOpen(), gate.whenOpen(new AbortController().signal)];
    answer = () => Promise.resolve();
    await pass(200);
    await Promise.all(waiters);
    expect(gate.state).toMatchObject({ open: true });
    expect(gate.state.error).toBeUndefined();
    await pass(10_000);
    expect(probes).toHaveLength(1);
  });

  it.each(['permission-denied', 'refused', 'no-space'] as const)('takes "%s" for a sign of life', async (failure) => {
    gate.trip(away);
    answer = () => Promise.reject(new EtcdRequestError(failure, 'no'));
    await pass(200);
    expect(gate.state.open).toBe(true);
  });

  it.each(['auth', 'tls'] as const)('stays closed on "%s" and keeps the reason', async (failure) => {
    const states = vi.fn<(state: unknown) => void>();
    gate.onChange(states);
    gate.trip(away);
    answer = () => Promise.reject(new EtcdRequestError(failure, 'not like this'));
    await pass(5_000);
    expect(gate.state).toMatchObject({ open: false, error: { failure } });
    // One for closing, one for the new kind of reason; a reason that stays the same is no news.
    expect(states).toHaveBeenCalledTimes(2);
  });

  it('goes on with its backoff when it was open only for a moment', async () => {
    gate.trip(away);
    await pass(3_000);
    answer = () => Promise.resolve();
    await gate.whenOpen(AbortSignal.timeout(0)).catch(() => undefined);
    await pass(2_000);
    expect(gate.state.open).toBe(true);
    answer = () => Promise.reject(away);
    probes.length = 0;
    const soon = clock.now();
    gate.trip(away);
    await pass(2_500);
    expect(probes[0]! - soon).toBeGreaterThanOrEqual(1_000);

    answer = () => Promise.resolve();
    await pass(2_000);
    await pass(6_000);
    answer = () => Promise.reject(away);
    probes.length = 0;
    const later = clock.now();
    gate.trip(away);
    await pass(500);
    expect(probes[0]! - later).toBeLessThanOrEqual(100);
  });

  it('lets a waiter go when its signal aborts', async () => {
    gate.trip(away);
    const controller = new AbortController();
    const waiting = gate.whenOpen(controller.signal);
    controller.abort();
    await waiting;
    await gate.whenOpen(AbortSignal.abort());
    expect(gate.state.open).toBe(false);
  });

  it('tells the other listeners when one throws', () => {
    const second = vi.fn<(state: unknown) => void>();
    gate.onChange(() => {
      throw new Error('mine');
    });
    const off = gate.onChange(second);
    gate.onChange(second)();
    gate.trip(away);
    expect(second).toHaveBeenCalledTimes(1);
    off();
  });

  it('stops for good when it is disposed of', async () => {
    gate.trip(away);
    const waiting = gate.whenOpen();
    gate.dispose();
    await waiting;
    await pass(5_000);
    expect(probes).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('ignores the answer to a probe that was under way when it was disposed of', async () => {
    let reply: () => void = () => undefined;
    answer = () => new Promise<void>((resolve) => (reply = resolve));
    const states = vi.fn<(state: unknown) => void>();
    gate.trip(away);
    gate.onChange(states);
    await pass(200);
    expect(probes).toHaveLength(1);
    gate.dispose();
    reply();
    await settle();
    expect(states).not.toHaveBeenCalled();
    expect(clock.pending).toBe(0);
  });
});
