import type { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { createServer } from 'node:net';
import { ReplaySubject } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { ServerTracker } from './server.tracker.js';
import type { ServerObserver, TrackedServer } from './tracked-server.js';

const container = (...targets: object[]): ModulesContainer => {
  const registry = new ReplaySubject<object>();
  for (const target of targets) registry.next(target);
  return { getRpcTargetRegistry: () => registry.asObservable() } as unknown as ModulesContainer;
};

const observer = (overrides: Partial<ServerObserver> = {}) => ({
  bound: vi.fn(() => Promise.resolve()),
  closing: vi.fn(() => Promise.resolve()),
  ...overrides,
});

/** As Nest's ServerTCP: binds, then calls back. */
const tcpServer = () => {
  const server = createServer();
  return {
    transportId: 0,
    server,
    closed: 0,
    listen(callback: (error?: unknown) => void) {
      server.listen(0, '127.0.0.1', callback);
    },
    // Synchronous in Nest; a promise once the tracker has wrapped it.
    close(): void | Promise<void> {
      this.closed++;
      server.close();
    },
  };
};

describe('ServerTracker', () => {
  it('reports the bound port before listen() returns to the application', async () => {
    const target = tcpServer();
    const order: string[] = [];
    let seen: TrackedServer | undefined;
    const tracker = new ServerTracker(
      container(target),
      undefined,
      observer({
        bound: async (server) => {
          seen = server;
          await Promise.resolve();
          order.push('bound');
        },
      }),
    );
    await new Promise<void>((resolve) => target.listen(() => (order.push('listening'), resolve())));
    expect(order).toEqual(['bound', 'listening']);
    expect(seen?.served).toMatchObject({ host: '127.0.0.1', secure: false });
    expect(seen?.served?.port).toBeGreaterThan(0);
    expect(tracker.servers).toEqual([seen]);
    await target.close();
  });

  it('passes an error of listen() on and reports nothing', async () => {
    const failure = Object.assign(new Error('in use'), { code: 'EADDRINUSE' });
    const target = {
      transportId: 0,
      listen: (callback: (error?: unknown) => void) => callback(failure),
      close: () => undefined,
    };
    const watching = observer();
    const tracker = new ServerTracker(container(target), undefined, watching);
    expect(tracker.servers).toHaveLength(1);
    await expect(new Promise((resolve) => target.listen(resolve))).resolves.toBe(failure);
    expect(watching.bound).not.toHaveBeenCalled();
  });

  it('fails listen() when the registration fails', async () => {
    const target = tcpServer();
    const conflict = new Error('id is taken');
    const tracker = new ServerTracker(
      container(target),
      undefined,
      observer({ bound: () => Promise.reject(conflict) }),
    );
    expect(tracker.servers).toHaveLength(1);
    await expect(new Promise((resolve) => target.listen(resolve))).resolves.toBe(conflict);
    await target.close();
  });

  it('leaves before a server closes', async () => {
    const target = tcpServer();
    const tracker = new ServerTracker(
      container(target),
      undefined,
      observer({
        closing: () => {
          expect(target.closed).toBe(0);
          return Promise.resolve();
        },
      }),
    );
    await target.close();
    expect(target.closed).toBe(1);
    tracker.stop();
  });

  it('follows a server that is connected later, and ignores transports it does not know', () => {
    const registry = new ReplaySubject<object>();
    const tracker = new ServerTracker(
      { getRpcTargetRegistry: () => registry } as unknown as ModulesContainer,
      undefined,
      observer(),
    );
    registry.next({ transportId: Symbol('custom'), listen() {}, close() {} });
    expect(tracker.servers).toEqual([]);
    registry.next(tcpServer());
    expect(tracker.servers).toHaveLength(1);
    tracker.stop();
    registry.next(tcpServer());
    expect(tracker.servers).toHaveLength(1);
  });

  it('waits in the callback of the HTTP adapter too', async () => {
    const server = createServer();
    const httpAdapter = {
      listen: (port: number, host: string, callback: () => void) => server.listen(port, host, callback),
      getHttpServer: () => server,
    };
    const watching = observer();
    const tracker = new ServerTracker(container(), { httpAdapter } as unknown as HttpAdapterHost, watching);
    expect(tracker.servers).toHaveLength(1);
    await new Promise<void>((resolve) => httpAdapter.listen(0, '127.0.0.1', resolve));
    expect(watching.bound).toHaveBeenCalledWith(expect.objectContaining({ transport: 'http' }));
    server.close();
  });
});
