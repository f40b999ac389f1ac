import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** The services of etcd's client API, by the names of `rpc.proto`. */
export type EtcdService = 'KV' | 'Lease' | 'Watch' | 'Cluster' | 'Maintenance' | 'Auth';

let loaded: ReturnType<typeof loadSync> | undefined;

/**
 * The definition of one etcd service, from the proto files that the etcd3 package ships; loaded on first use, because
 * parsing them takes tens of milliseconds that a process without an embedded etcd need not spend.
 */
export const etcdService = (name: EtcdService): ServiceDefinition => {
  loaded ??= loadSync('rpc.proto', {
    includeDirs: [join(dirname(createRequire(import.meta.url).resolve('etcd3/package.json')), 'proto')],
    keepCase: true,
    longs: String,
    defaults: true,
  });
  return loaded[`etcdserverpb.${name}`] as ServiceDefinition;
};
