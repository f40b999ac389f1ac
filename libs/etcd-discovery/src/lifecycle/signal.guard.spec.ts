import { afterEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '../utils/log.js';
import { ShutdownSequence } from './shutdown.sequence.js';
import { signalGuard } from './signal.guard.js';

const leavers: ShutdownSequence[] = [];
afterEach(() => {
  for (const leaver of leavers.splice(0)) signalGuard.remove(leaver);
  vi.restoreAllMocks();
});

/** As many connections of one application, guarded, and what each has done. */
const application = (connections: number) => {
  const together = new Set<ShutdownSequence>();
  return Array.from({ length: connections }, () => {
    const steps: string[] = [];
    const sequence = new ShutdownSequence({
      propagationWaitMs: 1,
      drainTimeoutMs: 50,
      leave: () => Promise.resolve(steps.push('left') > 0),
      servers: [],
      services: () => [],
      together,
      log: silentLog,
    });
    sequence.releaseForSignal = () => Promise.resolve(void steps.push('released'));
    signalGuard.add(sequence, silentLog);
    leavers.push(sequence);
    return { sequence, steps };
  });
};

/** Delivered to our listener alone: the test runner has others. */
const signal = () => {
  vi.spyOn(process, 'kill').mockReturnValue(true);
  signalGuard['listener']('SIGTERM');
};

describe('signalGuard', () => {
  it('leaves and releases every connection of an application without shutdown hooks', async () => {
    const [first, second] = application(2);
    signal();
    await vi.waitFor(() => expect(second?.steps).toEqual(['left', 'released']), 3_000);
    expect(first?.steps).toEqual(['left', 'released']);
  });

  it('keeps out of a shutdown that the application leads, on all of its connections', async () => {
    const [first, second] = application(2);
    const [alone] = application(1);
    const led = first?.sequence.run();
    signal();
    await led;
    await vi.waitFor(() => expect(alone?.steps).toContain('released'), 3_000);
    expect([first?.steps, second?.steps]).toEqual([['left'], ['left']]);
  });
});
