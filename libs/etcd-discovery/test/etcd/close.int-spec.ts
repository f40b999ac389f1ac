import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EtcdServer } from '../../../../test/support/etcd-server.js';

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
