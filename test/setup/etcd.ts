import type { TestProject } from 'vitest/node';
import { HOW_TO_PROVIDE_ETCD } from '../support/etcd-binary.js';
import { EtcdServer } from '../support/etcd-server.js';

/** One real etcd per project; ETCD_ENDPOINTS overrides it. Without a real etcd the run fails: it is never skipped. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | void> {
  const given = process.env.ETCD_ENDPOINTS?.split(',')[0]?.trim();
  if (given) {
    const endpoint = given.replace(/^https?:\/\//, '');
    await fetch(`http://${endpoint}/health`, { signal: AbortSignal.timeout(5_000) }).catch((error: Error) => {
      throw new Error(`No etcd answers at ETCD_ENDPOINTS=${given} (${error.message}). ${HOW_TO_PROVIDE_ETCD}`);
    });
    project.provide('etcdEndpoint', endpoint);
    return;
  }
  const server = await EtcdServer.start();
  project.provide('etcdEndpoint', server.endpoint);
  return () => server.stop();
}
