import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { readdirSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { FaultProxy } from '../../../../test/support/fault-proxy.js';
import { UnansweredPort } from '../../../../test/support/unanswered-port.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { RecordingLog } from '../support/catalog-world.js';

/** Sockets of this process that lead to a port, in whatever state the system has them. */
const socketsTo = async (port: number): Promise<number> => {
  const table = await readFile('/proc/self/net/tcp', 'utf8');
  const mine = new Set(
    readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    }),
  );
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, , , , , , , inode]) => remote?.endsWith(`:${hex}`) && mine.has(`socket:[${inode}]`)).length;
};

describe('a client that is closed while it connects', () => {
  const closeHalfway = async (endpoint: string) => {
    const port = Number(endpoint.split(':')[1]);
    const others = await socketsTo(port);
    const client = createEtcdClient({ endpoints: [endpoint], dialTimeoutMs: 5_000 }, { log: new RecordingLog() });
    const pending = client.range({ key: '/x' }).catch((error: unknown) => error);
    await vi.waitFor(async () => expect(await socketsTo(port)).toBeGreaterThan(others), 5_000);
    await client.close();
    await pending;
    await vi.waitFor(async () => expect(await socketsTo(port)).toBe(others), 2_000);
  };

  it('leaves no socket behind when nobody answers its SYN', async () => {
    const nobody = await UnansweredPort.open();
    await closeHalfway(nobody.endpoint).finally(nobody.close);
  });

  it('leaves no socket behind when the other side accepts and says nothing', async () => {
    const proxy = await FaultProxy.start('127.0.0.1:1');
    proxy.freeze();
    await closeHalfway(proxy.endpoint).finally(() => proxy.stop());
  });
});

describe('a process that closes its client', () => {
  let server: EtcdServer;

  beforeAll(async () => {
    server = await EtcdServer.start();
  });
  afterAll(() => server.stop());

  const here = (name: string) => new URL(`child/${name}`, import.meta.url);
  const run = async (beforeClose: () => void) => {
    const child = spawn(
      process.execPath,
      ['--import', here('register.mjs').href, here('use-and-close.mjs').pathname, server.endpoint],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    try {
      const exited = once(child, 'exit');
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      expect((await lines.next()).value).toBe('in use');
      beforeClose();
      child.stdin.write('close\n');
      const report = JSON.parse((await lines.next()).value as string) as { closedInMs: number; failures: string[] };
      const closed = performance.now();
      const [code] = (await exited) as [number];
      return { ...report, code, exitedAfterMs: performance.now() - closed };
    } finally {
      child.kill('SIGKILL');
    }
  };

  it('exits by itself, at once', async () => {
    const { closedInMs, exitedAfterMs, code } = await run(() => undefined);
    expect({ code, closed: closedInMs < 500, exited: exitedAfterMs < 500 }).toEqual({
      code: 0,
      closed: true,
      exited: true,
    });
  });

  it('exits as quickly while etcd is frozen, with a watch open and calls in flight', async () => {
    const { closedInMs, exitedAfterMs, failures, code } = await run(() => server.pause());
    server.resume();
    expect(failures).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled']);
    expect({ code, closed: closedInMs < 500, exited: exitedAfterMs < 500 }).toEqual({
      code: 0,
      closed: true,
      exited: true,
    });
  });
});
