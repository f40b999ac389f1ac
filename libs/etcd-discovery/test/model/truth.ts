import { KeyReader } from '../../src/catalog/key-reader.js';
import type { EtcdKeyValue } from '../../src/etcd/etcd-client.js';
import { plainKey, servicePrefix } from '../../src/instance/instance-key.js';
import type { ServiceInstance } from '../../src/instance/service-instance.js';

export const NAMESPACE = '/services';
export const SERVICES = ['s', 's-v2'] as const;

const reader = new KeyReader(NAMESPACE, { plainKeys: true });

export const readKey = (kv: EtcdKeyValue): ServiceInstance | undefined => reader.read(kv)?.known.instance;

/** An instance as far as users can tell it from another. */
export const faceOf = ({ id, address, weight, modRevision, createRevision }: ServiceInstance): string =>
  `${id} at ${address} weight ${weight} revision ${createRevision}/${modRevision}`;

/** What a cache of a service has to show while these keys are in etcd. */
export const truthOf = (service: string, keys: Iterable<EtcdKeyValue>): string[] => {
  const prefix = servicePrefix(NAMESPACE, service);
  const plain = plainKey(NAMESPACE, service);
  const faces: string[] = [];
  for (const kv of keys) {
    if (kv.key !== plain && !kv.key.startsWith(prefix)) continue;
    const instance = readKey(kv);
    if (instance?.status === 'up') faces.push(faceOf(instance));
  }
  return faces.sort();
};
