import { findEtcd } from './etcd-binary.js';

// For scripts: the path of the etcd that the tests use.
console.log((await findEtcd()).etcd);
