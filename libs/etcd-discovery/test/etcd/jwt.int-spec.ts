import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { prefixRange } from '../../src/etcd/key-range.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { WatchRecorder } from './watch-recorder.js';

describe('an etcd with JSON web tokens', () => {
  let server: EtcdServer;
  let dir: string;
  const root = (...args: string[]) => server.etcdctl('--user', 'root:rootpw', ...args);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'etcd-discovery-jwt-'));
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const [pub, priv] = [join(dir, 'pub.pem'), join(dir, 'priv.pem')];
    await writeFile(pub, publicKey.export({ type: 'spki', format: 'pem' }));
    await writeFile(priv, privateKey.export({ type: 'pkcs1', format: 'pem' }));
    server = await EtcdServer.start({
      args: ['--auth-token', `jwt,pub-key=${pub},priv-key=${priv},sign-method=RS256,ttl=60m`],
    });
    await server.etcdctl('user', 'add', 'root:rootpw');
    await server.etcdctl('user', 'grant-role', 'root', 'root');
    await server.etcdctl('auth', 'enable');
    await root('user', 'add', 'app:word');
    await root('role', 'add', 'app');
    await root('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', '/app/');
    await root('user', 'grant-role', 'app', 'app');
  });
  afterAll(async () => {
    await server.stop();
    await rm(dir, { recursive: true });
  });

  it('is logged in to again when a change of roles makes every token old', async () => {
    const etcd = createEtcdClient({
      endpoints: [server.endpoint],
      dialTimeoutMs: 5_000,
      username: 'app',
      password: 'word',
    });
    try {
      const range = prefixRange('/app/');
      const listed = await etcd.range(range, { via: 'watch' });
      await etcd.range(range);
      const early = new WatchRecorder();
      const startRevision = listed.header.revision + 1;
      etcd.watch({ ...range, startRevision }, early);
      await expect.poll(() => early.createdAt.length).toBe(1);

      await root('role', 'grant-permission', 'app', '--prefix=true', 'readwrite', '/more/');
      // The driver's own log-in would go on with the old token for an hour.
      const answers = await Promise.all(Array.from({ length: 20 }, () => etcd.range(prefixRange('/more/'))));
      expect(answers).toHaveLength(20);
      await etcd.range(range, { via: 'watch' });

      const late: WatchRecorder[] = [];
      const created = async () => {
        if (late.length === 0 || late.at(-1)!.ends.length > 0) {
          await etcd.range(prefixRange('/more/'), { via: 'watch' });
          late.push(new WatchRecorder());
          etcd.watch({ ...prefixRange('/more/'), startRevision }, late.at(-1)!);
        }
        return late.at(-1)!.createdAt.length;
      };
      await expect.poll(created, { timeout: 10_000 }).toBe(1);
      const { id: lease } = await etcd.grantLease(30);
      await etcd.txn({ compare: [], success: [{ type: 'put', key: '/more/a', value: '', lease }] });
      await expect.poll(() => late.at(-1)!.seen).toEqual(['put /more/a']);
      expect(early.ends).toEqual([]);
    } finally {
      await etcd.close();
    }
  });
});
