export { EmbeddedEtcd } from './embedded-etcd.js';
export type { EmbeddedEtcdOptions, EmbeddedEtcdStatus, EmbeddedLease } from './embedded-etcd.js';
