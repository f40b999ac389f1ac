import { mkdtemp, copyFile, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import type { ResolvedEtcdOptions } from '../../src/options/resolved-options.js';
import { EtcdServer } from '../../../../test/support/etcd-server.js';
import { freePort } from '../../../../test/support/free-port.js';

const file = (name: string) => fileURLToPath(new URL(`certificates/${name}`, import.meta.url));

describe('an etcd behind TLS with client certificates', () => {
  let server: EtcdServer;
  let endpoint: string;
  const clients: EtcdClient[] = [];

  beforeAll(async () => {
    // The server keeps a plain port for the test's own health check, and listens with TLS on a second one.
    const [plain, secure] = [await freePort(), await freePort()];
    server = await EtcdServer.start({
      port: plain,
      args: [
        `--listen-client-urls=http://127.0.0.1:${plain},https://127.0.0.1:${secure}`,
        `--advertise-client-urls=http://127.0.0.1:${plain}`,
        `--cert-file=${file('server.pem')}`,
        `--key-file=${file('server.key')}`,
        `--trusted-ca-file=${file('authority.pem')}`,
        '--client-cert-auth',
      ],
    });
    endpoint = `127.0.0.1:${secure}`;
  });
  afterAll(() => server.stop());
  afterEach(() => Promise.all(clients.splice(0).map((client) => client.close())));

  const client = (tls: ResolvedEtcdOptions['tls'], rest: Partial<ResolvedEtcdOptions> = {}) => {
    const etcd = createEtcdClient({ endpoints: [endpoint], dialTimeoutMs: 5_000, tls, ...rest });
    clients.push(etcd);
    return etcd;
  };
  const good = {
    ca: file('authority.pem'),
    cert: file('client.pem'),
    key: file('client.key'),
    serverName: 'etcd.internal',
  };

  it('is reached with files, and with their contents', async () => {
    await expect(client(good).range({ key: 'a' })).resolves.toBeDefined();
    const contents = { ...good, ca: readFileSync(good.ca), cert: readFileSync(good.cert), key: readFileSync(good.key) };
    await expect(client(contents).range({ key: 'a' }, { via: 'watch' })).resolves.toBeDefined();
  });

  it('takes a log-in over the same connection, server name included', async () => {
    // Authentication is off in this etcd; a log-in that could not connect would fail, one that is refused does not.
    const etcd = client(good, { username: 'app', password: 'word' });
    await expect(etcd.range({ key: 'a' })).resolves.toBeDefined();
  });

  it.each([
    ['an unknown authority', { ...good, ca: file('stranger.pem') }],
    ['a name that is not in the certificate', { ...good, serverName: 'other.internal' }],
    ['a file that does not exist', { ...good, ca: file('nothing.pem') }],
    ['a file that is not PEM', { ...good, cert: file('generate.sh') }],
    ['a key that does not belong to the certificate', { ...good, key: file('server.key') }],
  ])('is refused with a TLS error for %s', async (_, tls) => {
    const etcd = client(tls);
    const error = await etcd.range({ key: 'a' }).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ failure: 'tls', code: 'ETCD_TLS' });
    expect((error as Error).message).toMatch(/etcd\.tls/);
    expect(etcd.gate.state).toMatchObject({ open: false, error: { failure: 'tls' } });
  });

  it('is not mistaken for a healthy one without a client certificate, or in plain text', async () => {
    for (const tls of [{ ca: good.ca, serverName: good.serverName }, undefined]) {
      const error: unknown = await client(tls)
        .range({ key: 'a' })
        .catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        failure: expect.stringMatching(/^(tls|unreachable)$/) as string,
        message: expect.stringMatching(/expect TLS|etcd\.tls/) as string,
      });
    }
  });

  it('is found again when the certificate is replaced on disk, without a restart', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'etcd-discovery-tls-'));
    try {
      const ca = join(dir, 'ca.pem');
      await copyFile(file('stranger.pem'), ca);
      const etcd = client({ ...good, ca });
      await expect(etcd.range({ key: 'a' })).rejects.toMatchObject({ failure: 'tls' });
      await copyFile(good.ca, ca);
      await etcd.gate.whenOpen(AbortSignal.timeout(5_000));
      await expect(etcd.range({ key: 'a' })).resolves.toBeDefined();
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
