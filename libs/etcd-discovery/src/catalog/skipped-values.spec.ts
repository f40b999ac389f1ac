import { describe, expect, it } from 'vitest';
import { RecordingLog } from '../../test/support/catalog-world.js';
import { FakeClock } from '../../test/support/fake-clock.js';
import type { KnownKey } from './service-state.js';
import { SkippedValues } from './skipped-values.js';

const broken = (...names: string[]): KnownKey[] =>
  names.map((name) => ({ key: `/services/s/${name}`, createRevision: 1, modRevision: 1, problem: 'not JSON' }));

describe('values that cannot be read', () => {
  it('are told in one line with their count and up to five keys', () => {
    const log = new RecordingLog();
    const skipped = new SkippedValues(new FakeClock(), log);
    skipped.report('s', broken('a', 'b', 'c', 'd', 'e', 'f', 'g'));
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toContain('skipped 7 values of service "s"');
    expect(log.lines[0]).toContain('"/services/s/e" (not JSON) and 2 more');
    expect(log.lines[0]).not.toContain('/services/s/f');
  });

  it('are told at most once a minute per service, with all that came meanwhile', async () => {
    const clock = new FakeClock();
    const log = new RecordingLog();
    const skipped = new SkippedValues(clock, log);
    for (let second = 0; second < 60; second += 1) {
      skipped.report('s', broken(`k${second}`));
      await clock.advance(1_000);
    }
    expect(log.lines).toHaveLength(2);
    expect(log.lines[1]).toContain('skipped 59 values');
    expect(skipped.total).toBe(60);
    skipped.report('other', broken('x'));
    expect(log.lines).toHaveLength(3);
  });

  it('cannot forge a line by their key', () => {
    const log = new RecordingLog();
    new SkippedValues(new FakeClock(), log).report('s', broken('a\nERROR all is lost\u001b[31m\u009b'));
    for (const character of ['\n', '\u001b', '\u009b']) expect(log.lines[0]).not.toContain(character);
  });

  it('leave no timer after the close', () => {
    const clock = new FakeClock();
    const skipped = new SkippedValues(clock, new RecordingLog());
    skipped.report('s', broken('a'));
    skipped.report('s', broken('b'));
    expect(clock.pending).toBe(1);
    skipped.close();
    expect(clock.pending).toBe(0);
  });
});
