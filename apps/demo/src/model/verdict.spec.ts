import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from '../../../common/src/latency-histogram.js';
import { PhaseRecord } from './phase-record.js';
import { judge } from './verdict.js';

const phase = (name: string, calls: number, failed = 0) => {
  const record = new PhaseRecord(name, name);
  const latency = new LatencyHistogram();
  for (let index = 0; index < calls; index += 1) latency.record(2);
  record.add({
    calls,
    failed,
    latency: latency.toData(),
    instances: {},
    methods: { Send: { calls, failed } },
    errors: failed > 0 ? { 'Send: UNAVAILABLE: gone': failed } : {},
    watches: { opened: 0, seen: 0 },
  });
  return record;
};

describe('the verdict', () => {
  it('is good when no call failed', () => {
    expect(judge([phase('a', 1_000), phase('b', 500)], [])).toEqual({
      ok: true,
      calls: 1_500,
      failed: 0,
      text: '0 of 1,500 calls failed.',
      details: [],
    });
  });

  it('is bad for one failed call, and says what it said', () => {
    const verdict = judge([phase('a', 10), phase('b', 10, 1)], []);
    expect(verdict).toMatchObject({
      ok: false,
      text: '1 of 20 calls failed.',
      details: ['b: 1 × Send: UNAVAILABLE: gone'],
    });
  });

  it('is bad when a phase shows nothing', () => {
    expect(judge([phase('a', 10), phase('b', 0)], [])).toMatchObject({
      ok: false,
      details: ['no call was made in phase "b"'],
    });
    expect(judge([], []).ok).toBe(false);
  });

  it('is bad when a client never had a change', () => {
    const record = phase('a', 10);
    record.changes = [
      { kind: 'added', pid: 1, tookMs: 3 },
      { kind: 'added', pid: 2, tookMs: undefined },
    ];
    expect(record.changeMs).toBe('missing');
    expect(judge([record], []).ok).toBe(false);
  });

  it('is bad when a process ended by itself', () => {
    expect(judge([phase('a', 10)], ['server 1 ended: code 1'])).toMatchObject({
      ok: false,
      details: ['server 1 ended: code 1'],
    });
  });
});

describe('a phase', () => {
  it('had its changes when the slowest had arrived', () => {
    const record = phase('a', 10);
    expect(record.changeMs).toBeUndefined();
    record.changes = [
      { kind: 'added', pid: 1, tookMs: 3 },
      { kind: 'removed', pid: 2, tookMs: 40 },
    ];
    expect(record.changeMs).toBe(40);
    expect(record.toJSON()).toMatchObject({ calls: 10, failed: 0, allClientsHadTheChangeAfterMs: 40 });
  });
});
