import { EtcdCatalog } from '../../src/catalog/etcd-catalog.js';
import { createEtcdClient } from '../../src/etcd/etcd3-client.js';
import { type Clock, systemClock } from '../../src/utils/clock.js';
import { RecordingLog, discoveryOptions } from './catalog-world.js';
import { FakePeers } from './fake-peers.js';

/**
 * A catalog over a real etcd whose own time runs `times` as fast: its backoffs, its spread and its reconciling list come
 * so much sooner. The connection under it lives in real time.
 */
export const hurriedCatalog = (endpoint: string, namespace: string, times: number) => {
  const clock: Clock = {
    now: () => systemClock.now() * times,
    after: (ms, work) => systemClock.after(ms / times, work),
  };
  const log = new RecordingLog();
  const etcd = createEtcdClient({ endpoints: [endpoint], dialTimeoutMs: 5_000 }, { log });
  const peers = new FakePeers();
  const options = discoveryOptions();
  const catalog = new EtcdCatalog({ etcd, namespace, options, clock, log, connections: peers, probe: peers.probe });
  return {
    log,
    /** `id weight` of every instance known now; the first call begins the watch. */
    list: (service: string): string[] => {
      const snapshot = catalog.peek(service) ?? catalog.acquire(service).snapshot;
      return (snapshot?.instances ?? []).map(({ id, weight }) => `${id} ${weight}`);
    },
    close: async (): Promise<void> => {
      await catalog.close();
      await etcd.close();
    },
  };
};
