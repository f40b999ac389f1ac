import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { findEtcd } from '../../../../test/support/etcd-binary.js';
import { etcdctl } from '../../../../test/support/etcd-server.js';
import { EmbeddedEtcd } from '../../src/testing/embedded-etcd.js';

const { etcdctl: binary } = await findEtcd();
if (!binary) console.warn('etcdctl was not found beside the etcd binary nor on PATH: its tests are skipped');

describe.skipIf(!binary)('etcdctl on an embedded etcd', () => {
  let etcd: EmbeddedEtcd;
  beforeAll(async () => {
    etcd = await EmbeddedEtcd.start();
  });
  afterAll(() => etcd.close());

  const ctl = (...args: string[]) => etcdctl(etcd.endpoint, args);
  /** A command that talks to its standard input, or goes on until it is told to stop. */
  const start = (...args: string[]): ChildProcessWithoutNullStreams & { output: () => string } => {
    let output = '';
    const child = spawn(binary!, ['--endpoints', etcd.endpoint, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
    });
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return Object.assign(child, { output: () => output });
  };

  it('puts, gets and deletes', async () => {
    expect(await ctl('put', 'ctl/a', '1')).toBe('OK\n');
    expect(await ctl('put', 'ctl/b', '2')).toBe('OK\n');
    expect(await ctl('put', '--prev-kv', 'ctl/b', '3')).toBe('OK\nctl/b\n2\n');
    expect(await ctl('get', 'ctl/a')).toBe('ctl/a\n1\n');
    expect(await ctl('get', '--prefix', 'ctl/')).toBe('ctl/a\n1\nctl/b\n3\n');
    expect(await ctl('get', '--prefix', '--keys-only', '--order=DESCEND', 'ctl/')).toBe('ctl/b\n\nctl/a\n\n');
    expect(await ctl('get', '--prefix', '--limit=1', '--print-value-only', 'ctl/')).toBe('1\n');
    expect(await ctl('get', 'ctl/a', 'ctl/b')).toBe('ctl/a\n1\n');
    expect(await ctl('get', '--from-key', 'ctl/b')).toBe('ctl/b\n3\n');
    expect(JSON.parse(await ctl('get', 'ctl/b', '--write-out=json'))).toMatchObject({
      header: { revision: etcd.revision },
      kvs: [{ create_revision: 3, mod_revision: 4, version: 2 }],
      count: 1,
    });
    expect(await ctl('get', '--rev=3', 'ctl/b')).toBe('ctl/b\n2\n');
    expect(await ctl('del', '--prev-kv', 'ctl/a')).toBe('1\nctl/a\n1\n');
    expect(await ctl('del', '--prefix', 'ctl/')).toBe('1\n');
    expect(await ctl('get', '--prefix', 'ctl/')).toBe('');
  });

  it('runs a transaction', async () => {
    await ctl('put', 'txn/a', '1');
    const transaction = start('txn');
    transaction.stdin.end('value("txn/a") = "1"\n\nput txn/b 2\nget txn/a\n\nget txn/a\n\n');
    const [code] = await once(transaction, 'exit');
    expect([code, transaction.output()]).toEqual([0, 'SUCCESS\n\nOK\n\ntxn/a\n1\n']);
    const other = start('txn');
    other.stdin.end('mod("txn/a") > "1000"\n\nput txn/b 3\n\nget txn/b\n\n');
    await once(other, 'exit');
    expect(other.output()).toBe('FAILURE\n\ntxn/b\n2\n');
  });

  it('watches what comes, and what was', async () => {
    const since = etcd.revision + 1;
    const live = start('watch', '--prefix', '--prev-kv', 'watch/');
    const ready = start('watch', '--prefix', `--rev=${since}`, 'watch/');
    // etcdctl does not say that its watch is there: one more put until both have told of one.
    await vi.waitFor(
      async () => {
        await ctl('put', 'watch/hello', 'x');
        for (const watch of [live, ready]) expect(watch.output()).toContain('watch/hello');
      },
      { timeout: 10_000, interval: 100 },
    );
    await ctl('put', 'watch/a', '1');
    await ctl('put', 'watch/a', '2');
    await ctl('del', 'watch/a');
    await vi.waitFor(() => {
      expect(live.output()).toMatch(
        /PUT\n\n?\n?watch\/a\n1\nPUT\nwatch\/a\n1\nwatch\/a\n2\nDELETE\nwatch\/a\n2\nwatch\/a\n\n$/,
      );
      expect(ready.output()).toMatch(/PUT\nwatch\/a\n1\nPUT\nwatch\/a\n2\nDELETE\nwatch\/a\n\n$/);
    }, 10_000);
    for (const watch of [live, ready]) {
      watch.kill('SIGINT');
      await once(watch, 'exit');
    }
  });

  it('grants, lists, renews, tells of and revokes a lease', async () => {
    const id = /^lease ([0-9a-f]{16}) granted with TTL\(60s\)\n$/.exec(await ctl('lease', 'grant', '60'))![1]!;
    await ctl('put', `--lease=${id}`, 'lease/a', '1');
    expect(await ctl('lease', 'list')).toBe(`found 1 leases\n${id}\n`);
    expect(await ctl('lease', 'timetolive', id, '--keys')).toMatch(
      new RegExp(`^lease ${id} granted with TTL\\(60s\\), remaining\\(5\\ds\\), attached keys\\(\\[lease/a\\]\\)\\n$`),
    );
    expect(await ctl('lease', 'keep-alive', '--once', id)).toBe(`lease ${id} keepalived with TTL(60)\n`);
    expect(await ctl('lease', 'revoke', id)).toBe(`lease ${id} revoked\n`);
    expect(await ctl('lease', 'timetolive', id)).toBe(`lease ${id} already expired\n`);
    expect(await ctl('get', 'lease/a')).toBe('');
    await expect(ctl('lease', 'revoke', id)).rejects.toThrow('requested lease not found');
  });

  it('compacts', async () => {
    await ctl('put', 'compact/a', '1');
    await ctl('put', 'compact/a', '2');
    const { revision } = etcd;
    expect(await ctl('compact', String(revision))).toBe(`compacted revision ${revision}\n`);
    await expect(ctl('get', `--rev=${revision - 1}`, 'compact/a')).rejects.toThrow(
      'required revision has been compacted',
    );
    await expect(ctl('compact', String(revision))).rejects.toThrow('required revision has been compacted');
    const watch = start('watch', `--rev=${revision - 1}`, 'compact/a');
    await once(watch, 'exit');
    expect(watch.output()).toContain('required revision has been compacted');
  });

  it('sees a healthy member, and is told what an embedded etcd does not do', async () => {
    expect(await ctl('endpoint', 'status')).toContain(`${etcd.endpoint}, `);
    expect(await ctl('member', 'list')).toContain(
      `started, default, http://localhost:2380, http://${etcd.endpoint}, false`,
    );
    expect(await ctl('alarm', 'list')).toBe('');
    await expect(ctl('user', 'add', 'alice:secret')).rejects.toThrow('Auth/UserAdd is not implemented');
  });
});
