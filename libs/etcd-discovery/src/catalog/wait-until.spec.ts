import { describe, expect, it } from 'vitest';
import { silentLog } from '../utils/log.js';
import { Listeners } from './listeners.js';
import { waitUntil } from './wait-until.js';

const world = () => {
  const listeners = new Listeners<[]>(silentLog, 'a test');
  const state = { done: false };
  const controller = new AbortController();
  const wait = (...signals: (AbortSignal | undefined)[]) =>
    waitUntil(
      'waiting for a test',
      () => state.done,
      (notify) => listeners.add(notify),
      signals,
    );
  return { listeners, state, controller, wait };
};

describe('a wait', () => {
  it('is over at once when it is done already', async () => {
    const { state, wait, listeners } = world();
    state.done = true;
    await wait();
    expect(listeners.size).toBe(0);
  });

  it('looks again at every notice, and leaves no listener', async () => {
    const { state, wait, listeners, controller } = world();
    const waiting = wait(undefined, controller.signal);
    listeners.call();
    expect(listeners.size).toBe(1);
    state.done = true;
    listeners.call();
    await waiting;
    expect(listeners.size).toBe(0);
    controller.abort();
  });

  it('rejects when a signal aborts, with its reason, and leaves no listener', async () => {
    const { wait, listeners, controller } = world();
    const waiting = wait(controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(listeners.size).toBe(0);
  });

  it('rejects for a signal that has aborted, done or not', async () => {
    const { state, wait } = world();
    state.done = true;
    await expect(wait(AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
