import { describe, expect, it, vi } from 'vitest';
import { silentLog } from '../utils/log.js';
import { ShutdownSequence, type ShutdownSequenceDeps } from './shutdown.sequence.js';
import type { TrackedServer } from './tracked-server.js';

const scene = (overrides: Partial<ShutdownSequenceDeps> = {}) => {
  const steps: string[] = [];
  const server: TrackedServer = {
    transport: 'grpc',
    served: undefined,
    drain: (cut) => {
      steps.push('drain');
      return cut.aborted ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, 1));
    },
  };
  const sequence = new ShutdownSequence({
    propagationWaitMs: 5,
    drainTimeoutMs: 50,
    leave: () => {
      steps.push('leave');
      return Promise.resolve(true);
    },
    servers: [server],
    health: { setStatus: (service, status) => steps.push(`health ${service || '(all)'} ${status}`) },
    services: () => ['users'],
    log: silentLog,
    ...overrides,
  });
  return { steps, sequence };
};

describe('ShutdownSequence', () => {
  it('turns health off, leaves etcd, and drains, in this order', async () => {
    const { steps, sequence } = scene();
    await sequence.run();
    expect(steps).toEqual(['health (all) NOT_SERVING', 'health users NOT_SERVING', 'leave', 'drain']);
  });

  it('runs once, however often it is called', async () => {
    const { steps, sequence } = scene();
    await Promise.all([sequence.run(), sequence.run(), sequence.leaveForSignal('SIGTERM')]);
    await sequence.run();
    expect(steps.filter((step) => step === 'leave')).toHaveLength(1);
  });

  it('does not wait for clients that were never told of it', async () => {
    const { sequence } = scene({ propagationWaitMs: 60_000, leave: () => Promise.resolve(false) });
    await sequence.run();
    expect(sequence.begun).toBe(true);
  });

  it('drains a server that was bound after the way out had begun, and not for ever', async () => {
    const { sequence } = scene({ servers: [], drainTimeoutMs: 20 });
    await sequence.run();
    let cut = false;
    await sequence.closeServer({
      transport: 'grpc',
      served: undefined,
      drain: (signal) =>
        new Promise((resolve) => signal.addEventListener('abort', () => resolve(void (cut = true)), { once: true })),
    });
    expect(cut).toBe(true);
  });

  it('leaves and drains although the health implementation throws', async () => {
    const error = vi.fn();
    const { steps, sequence } = scene({
      health: {
        setStatus: () => {
          throw new Error('no such service');
        },
      },
      log: { ...silentLog, error },
    });
    await sequence.run();
    expect(steps).toEqual(['leave', 'drain']);
    expect(error).toHaveBeenCalledWith(expect.stringContaining('no such service'));
  });

  it('goes on, and waits, when leaving etcd fails', async () => {
    const warn = vi.fn();
    const { steps, sequence } = scene({
      leave: () => Promise.reject(new Error('etcd is gone')),
      log: { ...silentLog, warn },
    });
    await sequence.run();
    expect(steps.at(-1)).toBe('drain');
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('etcd is gone'));
  });

  it('stops waiting and cuts what is left at a second signal', async () => {
    let cut: AbortSignal | undefined;
    const { sequence } = scene({
      propagationWaitMs: 60_000,
      drainTimeoutMs: 60_000,
      servers: [
        {
          transport: 'grpc',
          served: undefined,
          drain: (signal) => {
            cut = signal;
            return new Promise((resolve) => {
              if (signal.aborted) resolve();
              signal.addEventListener('abort', () => resolve());
            });
          },
        },
      ],
    });
    const done = sequence.run();
    sequence.hasten();
    await done;
    expect(cut?.aborted).toBe(true);
  });

  it('cuts calls that are still there after drainTimeout', async () => {
    const { sequence } = scene({
      drainTimeoutMs: 20,
      servers: [
        {
          transport: 'grpc',
          served: undefined,
          drain: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
        },
      ],
    });
    await expect(sequence.run()).resolves.toBeUndefined();
  });
});
