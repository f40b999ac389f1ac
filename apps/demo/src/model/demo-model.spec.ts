import { describe, expect, it } from 'vitest';
import type { PhaseReport } from '../../../common/src/demo-messages.js';
import { DemoModel } from './demo-model.js';
import { RateWindow } from './rate-window.js';

const report = (instances: PhaseReport['instances']): PhaseReport => {
  const counts = Object.values(instances);
  const sum = (key: 'calls' | 'failed') => counts.reduce((total, count) => total + count[key], 0);
  return {
    calls: sum('calls'),
    failed: sum('failed'),
    latency: [[10, sum('calls')]],
    instances,
    methods: {},
    errors: {},
    watches: { opened: 0, seen: 0 },
  };
};

describe('rates', () => {
  it('look back over their window only', () => {
    const window = new RateWindow(2_000);
    window.add('a', 100, 0);
    window.add('a', 50, 1_500);
    window.add('b', 10, 1_500);
    expect(window.perSecond('a', 1_900)).toBe(75);
    expect(window.perSecond('a', 2_000)).toBe(25);
    expect(window.perSecond('b', 2_000)).toBe(5);
    expect(window.perSecond('a', 4_000)).toBe(0);
  });
});

describe('the model of a run', () => {
  it('counts late reports for the phase in which their calls began', () => {
    const model = new DemoModel(() => 0);
    const steady = model.begin('steady', 'steady');
    const kill = model.begin('kill', 'kill -9');
    model.addReport('steady', report({ a: { calls: 5, failed: 0 } }));
    model.addReport('kill', report({ a: { calls: 2, failed: 1 } }));
    expect([steady.calls, kill.calls, kill.failed]).toEqual([5, 2, 1]);
    expect(model.totals).toMatchObject({ calls: 7, failed: 1 });
  });

  it('shows calls per second and errors by instance', () => {
    const model = new DemoModel(() => 0);
    model.begin('steady', 'steady');
    model.addReport('steady', report({ a: { calls: 6, failed: 1 }, '': { calls: 2, failed: 2 } }));
    expect(model.callsPerSecond('a')).toBe(3);
    expect(model.callsPerSecond()).toBe(4);
    expect([model.errorsOf('a'), model.errorsOf('b')]).toEqual([1, 0]);
  });

  it('tells its events and keeps the problems', () => {
    const model = new DemoModel(() => 12);
    const heard: string[] = [];
    model.onEvent(({ atMs, text }) => heard.push(`${atMs} ${text}`));
    model.event('x');
    model.problem('y');
    expect(heard).toEqual(['12 x', '12 y']);
    expect(model.problems).toEqual(['y']);
  });
});
