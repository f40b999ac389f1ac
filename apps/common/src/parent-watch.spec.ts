import { describe, expect, it, vi } from 'vitest';
import { watchedChain, watchParent, type ProcessInfo } from './parent-watch.js';

const tree = (entries: Record<number, [ppid: number, command: string]>) => {
  const processes = new Map(
    Object.entries(entries).map(([pid, [ppid, command]]) => [Number(pid), { ppid, command } satisfies ProcessInfo]),
  );
  return { processes, inspect: (pid: number) => processes.get(pid) };
};

describe('watchedChain', () => {
  it('goes up to the package manager and not beyond it', () => {
    const { inspect } = tree({
      50: [40, 'node dist/main.js'],
      40: [30, 'nest'],
      30: [20, 'sh -c nest start'],
      20: [10, 'npm exec nest start'],
      10: [1, '-bash'],
    });
    expect(watchedChain(50, inspect)).toEqual([
      { pid: 50, ppid: 40 },
      { pid: 40, ppid: 30 },
      { pid: 30, ppid: 20 },
    ]);
  });

  it('takes the topmost of nested package managers', () => {
    const { inspect } = tree({
      50: [40, 'node dist/main.js'],
      40: [30, 'npm run inner'],
      30: [20, '/usr/bin/node /usr/lib/node_modules/npm/bin/npm-cli.js run outer'],
      20: [1, 'bash -c npm run outer'],
    });
    expect(watchedChain(50, inspect).map(({ pid }) => pid)).toEqual([50, 40]);
  });

  it('watches the direct parent where no package manager is visible', () => {
    const { inspect } = tree({ 50: [40, 'node dist/main.js'], 40: [30, 'nest'], 30: [2, 'bash'] });
    expect(watchedChain(50, inspect)).toEqual([{ pid: 50, ppid: 40 }]);
  });
});

describe('watchParent under npm', () => {
  it('stops the process once when an ancestor is orphaned, not before', () => {
    vi.useFakeTimers();
    const { processes, inspect } = tree({ 50: [40, 'node'], 40: [30, 'nest'], 30: [10, 'npm start'] });
    const stop = vi.fn();
    watchParent({ env: { npm_execpath: 'npm' }, inspect, stop, self: 50, intervalMs: 100, channel: undefined });
    vi.advanceTimersByTime(1_000);
    expect(stop).not.toHaveBeenCalled();
    // npm is killed: its child gets a new parent, ours does not change.
    processes.set(40, { ppid: 1, command: 'nest' });
    vi.advanceTimersByTime(1_000);
    expect(stop).toHaveBeenCalledTimes(1);
    expect(stop).toHaveBeenCalledWith('process 30, which started this one, is gone');
    vi.useRealTimers();
  });

  it('leaves a process alone that npm did not start', () => {
    vi.useFakeTimers();
    const { processes, inspect } = tree({ 50: [40, 'node'], 40: [10, 'bash'] });
    const stop = vi.fn();
    watchParent({ env: {}, inspect, stop, self: 50, intervalMs: 100, channel: undefined });
    processes.set(50, { ppid: 1, command: 'node' });
    vi.advanceTimersByTime(1_000);
    expect(stop).not.toHaveBeenCalled();
    vi.useRealTimers();
  });
});
