import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { prefixRange } from '../../src/etcd/key-range.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { WatchRecorder } from './watch-recorder.js';

const TOKEN_TTL_S = 2;

describe('an etcd that asks for user and password', () => {
  let server: EtcdServer;
  const clients: EtcdClient[] = [];

  beforeAll(async () => {
    server = await EtcdServer.start({ args: ['--auth-token-ttl', String(TOKEN_TTL_S)] });
    const ctl = (...args: string[]) => server.etcdctl(...args);
    await ctl('user', 'add', 'root:rootpw');
    await ctl('user', 'grant-role', 'root', 'root');
    await ctl('user', 'add', 'app:s3cr3t-word');
    await ctl('role', 'add', 'app');
    await ctl('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', '/app/');
    await ctl('user', 'grant-role', 'app', 'app');
    await ctl('auth', 'enable');
  });
  afterAll(() => server.stop());
  afterEach(() => Promise.all(clients.splice(0).map((client) => client.close())));

  const client = (password: string | undefined = 's3cr3t-word', username: string | undefined = 'app') => {
    const etcd = createEtcdClient({ endpoints: [server.endpoint], dialTimeoutMs: 5_000, username, password });
    clients.push(etcd);
    return etcd;
  };
  const root = (...args: string[]) => server.etcdctl('--user', 'root:rootpw', ...args);
  const logins = async () => {
    const text = await (await fetch(`http://${server.endpoint}/metrics`)).text();
    const line = /^grpc_server_started_total\{grpc_method="Authenticate".*\} (\d+)$/m.exec(text);
    return Number(line?.[1] ?? 0);
  };
  /** Any question to etcd about a token prolongs it, so time itself is the only thing to wait for. */
  const tokenExpired = () => delay((TOKEN_TTL_S + 1.5) * 1000);

  it('logs in, reads what it may and is told what it may not', async () => {
    const etcd = client();
    await expect(etcd.range(prefixRange('/app/'))).resolves.toMatchObject({ more: false });
    await expect(etcd.range(prefixRange('/other/'))).rejects.toMatchObject({
      failure: 'permission-denied',
      code: 'ETCD_AUTH',
    });
    expect(etcd.gate.state.open).toBe(true);
  });

  it('refuses a wrong password without repeating it, keeps the reason, and tries no faster than the gate', async () => {
    const etcd = client('not-the-w0rd');
    const before = await logins();
    const errors = await Promise.all(
      Array.from({ length: 50 }, () => etcd.range(prefixRange('/app/')).catch((error: unknown) => error as Error)),
    );
    for (const error of errors) {
      expect(error).toMatchObject({ failure: 'auth', code: 'ETCD_AUTH' });
      expect(`${(error as Error).message} ${JSON.stringify(error)}`).not.toContain('not-the-w0rd');
      expect((error as Error).message).toContain(server.endpoint);
    }
    expect((await logins()) - before).toBeLessThanOrEqual(3);
    expect(etcd.gate.state).toMatchObject({ open: false, error: { failure: 'auth' } });
  });

  it('recovers by itself when the password becomes right', async () => {
    await root('user', 'add', 'late:first');
    await root('user', 'grant-role', 'late', 'app');
    const etcd = client('second', 'late');
    await expect(etcd.range(prefixRange('/app/'))).rejects.toMatchObject({ failure: 'auth' });
    await promptless(root, 'late', 'second');
    await etcd.gate.whenOpen(AbortSignal.timeout(5_000));
    await expect(etcd.range(prefixRange('/app/'))).resolves.toBeDefined();
  });

  it('says that credentials are missing when there are none', async () => {
    const etcd = createEtcdClient({ endpoints: [server.endpoint], dialTimeoutMs: 5_000 });
    clients.push(etcd);
    await expect(etcd.range(prefixRange('/app/'))).rejects.toMatchObject({ failure: 'auth' });
  });

  it('meets an expired token with one log-in, however many calls notice', async () => {
    const etcd = client();
    await etcd.range(prefixRange('/app/'));
    await tokenExpired();
    const before = await logins();
    const results = await Promise.all(Array.from({ length: 100 }, () => etcd.range(prefixRange('/app/'))));
    expect(results).toHaveLength(100);
    expect((await logins()) - before).toBe(1);
    expect(etcd.gate.state.open).toBe(true);
  });

  it('keeps a watch alive beyond its token and opens later ones with a new token', async () => {
    const etcd = client();
    const { id: lease } = await etcd.grantLease(60);
    const put = (key: string) => etcd.txn({ compare: [], success: [{ type: 'put', key, value: 'v', lease }] });
    const listed = await etcd.range(prefixRange('/app/'), { via: 'watch' });
    const startRevision = listed.header.revision + 1;
    const early = new WatchRecorder();
    etcd.watch({ ...prefixRange('/app/a/'), startRevision }, early);
    await expect.poll(() => early.createdAt.length).toBe(1);
    await tokenExpired();

    // What its user does with a watch that has ended: list and watch again.
    const late: WatchRecorder[] = [];
    const retry = async (): Promise<number> => {
      if (late.length === 0 || late.at(-1)!.ends.length > 0) {
        await etcd.range(prefixRange('/app/'), { via: 'watch' });
        late.push(new WatchRecorder());
        etcd.watch({ ...prefixRange('/app/b/'), startRevision }, late.at(-1)!);
      }
      return late.at(-1)!.createdAt.length;
    };
    await expect.poll(retry, { timeout: 10_000 }).toBe(1);
    expect(late.length).toBeLessThanOrEqual(3);

    await put('/app/a/1');
    await put('/app/b/1');
    await expect.poll(() => late.at(-1)!.seen).toEqual(['put /app/b/1']);
    await expect.poll(() => early.seen).toEqual(['put /app/a/1']);
    expect(early.ends).toEqual([]);
  });

  it('ends a watch outside its permissions, and no other', async () => {
    const etcd = client();
    const startRevision = (await etcd.range(prefixRange('/app/'), { via: 'watch' })).header.revision + 1;
    const allowed = new WatchRecorder();
    const forbidden = new WatchRecorder();
    etcd.watch({ ...prefixRange('/app/'), startRevision }, allowed);
    etcd.watch({ ...prefixRange('/secret/'), startRevision }, forbidden);
    await expect
      .poll(() => forbidden.ends)
      .toMatchObject([{ reason: 'canceled', error: { failure: 'permission-denied' } }]);
    await expect.poll(() => allowed.createdAt.length).toBe(1);
    expect(allowed.ends).toEqual([]);
  });

  it('lives through a restart of etcd, which forgets all tokens', async () => {
    const etcd = client();
    await etcd.range(prefixRange('/app/'), { via: 'watch' });
    await server.restart();
    await expect
      .poll(() => etcd.range(prefixRange('/app/'), { via: 'watch' }).then(() => 'answered', String), {
        timeout: 10_000,
      })
      .toBe('answered');
    await expect
      .poll(() => etcd.range(prefixRange('/app/')).then(() => 'answered', String), { timeout: 10_000 })
      .toBe('answered');
  });
});

/** `etcdctl user passwd` reads from a terminal or, with the flag, from standard input; deleting and adding needs neither. */
const promptless = async (root: (...args: string[]) => Promise<string>, user: string, password: string) => {
  await root('user', 'delete', user);
  await root('user', 'add', `${user}:${password}`);
  await root('user', 'grant-role', user, 'app');
};
