import { randomUUID } from 'node:crypto';
import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import type { EtcdClient } from '../../src/etcd/etcd-client.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import type { ResolvedDiscoveryOptions } from '../../src/options/resolved-options.js';
import { discoveryOptions, RecordingLog, stored } from './catalog-world.js';
import { FakePeers } from './fake-peers.js';

const clientOf = (endpoint: string): EtcdClient =>
  createEtcdClient({ endpoints: [endpoint], dialTimeoutMs: 5_000 }, { log: new RecordingLog() });

/**
 * A catalog over a real etcd, in a namespace of its own, and a second client that writes to it as others would. Behind
 * the instances are fake servers: nobody listens where nothing else is said.
 */
export const etcdWorld = async (endpoint: string, options: Partial<ResolvedDiscoveryOptions> = {}) => {
  const namespace = `/test-${randomUUID()}`;
  const [etcd, writer] = [clientOf(endpoint), clientOf(endpoint)];
  const log = new RecordingLog();
  const peers = new FakePeers();
  const catalog = new EtcdCatalog({
    etcd,
    namespace,
    options: discoveryOptions(options),
    log,
    connections: peers,
    probe: peers.probe,
  });
  const key = (service: string, id: string) => `${namespace}/${service}/${id}`;
  const lease = await writer.grantLease(600);

  const put = async (at: string, value: string | Buffer, leaseId = lease.id): Promise<void> => {
    await writer.txn({ compare: [], success: [{ type: 'put', key: at, value, lease: leaseId }] });
  };
  const up = (service: string, id: string, detail: Parameters<typeof stored>[2] & { lease?: string } = {}) =>
    put(key(service, id), stored(service, id, detail), detail.lease);
  const down = async (service: string, id: string): Promise<void> => {
    await writer.txn({ compare: [], success: [{ type: 'delete', key: key(service, id) }] });
  };
  const close = async (): Promise<void> => {
    await catalog.close();
    await etcd.close();
    await writer.revokeLease(lease.id).catch(() => {});
    await writer.close();
  };
  return { namespace, etcd, writer, catalog, log, peers, key, put, up, down, close };
};

export type EtcdWorld = Awaited<ReturnType<typeof etcdWorld>>;
