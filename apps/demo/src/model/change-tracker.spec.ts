import { describe, expect, it } from 'vitest';
import type { InstanceMessage } from '../../../common/src/demo-messages.js';
import { ChangeTracker } from './change-tracker.js';

const message = (
  change: InstanceMessage['change'],
  pid: number,
  at: number,
  registeredAt = 1_000,
): InstanceMessage => ({
  type: 'instance',
  at,
  change,
  id: `id-${pid}`,
  address: '127.0.0.1:1',
  pid,
  registeredAt,
});

describe('a change', () => {
  it('took as long as the slowest client', async () => {
    const tracker = new ChangeTracker(2);
    tracker.expect('removed', 7, 2_000);
    tracker.seen(0, message('removed', 7, 2_010));
    expect(await tracker.settled(0)).toBe(false);
    tracker.seen(1, message('removed', 7, 2_300));
    expect(await tracker.settled(0)).toBe(true);
    expect(tracker.take()).toEqual([{ kind: 'removed', pid: 7, tookMs: 300 }]);
  });

  it('of an instance that comes is measured from its registration', () => {
    const tracker = new ChangeTracker(1);
    tracker.expect('added', 7);
    tracker.seen(0, message('added', 7, 1_025));
    expect(tracker.take()).toEqual([{ kind: 'added', pid: 7, tookMs: 25 }]);
  });

  it('is the first that a client saw; others do not count', () => {
    const tracker = new ChangeTracker(1);
    tracker.expect('added', 7);
    tracker.seen(0, message('added', 8, 1_001));
    tracker.seen(0, message('updated', 7, 1_002));
    tracker.seen(0, message('removed', 7, 1_003));
    tracker.seen(0, message('added', 7, 1_005));
    tracker.seen(0, message('added', 7, 9_999));
    expect(tracker.take()).toEqual([{ kind: 'added', pid: 7, tookMs: 5 }]);
  });

  it('that a client never saw has no time, and belongs to one phase only', () => {
    const tracker = new ChangeTracker(2);
    tracker.expect('removed', 7, 2_000);
    tracker.seen(0, message('removed', 7, 2_010));
    expect(tracker.take()).toEqual([{ kind: 'removed', pid: 7, tookMs: undefined }]);
    expect(tracker.take()).toEqual([]);
  });
});
