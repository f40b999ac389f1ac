import type { EtcdKeyValue } from '../etcd/etcd-client.js';
import { decodeInstance } from '../instance/instance-record.js';
import { leaseHex } from './lease.js';

interface Identity {
  readonly service: string;
  readonly id: string;
}

/** The advertised address of whoever wrote that value; undefined when it is not an instance. */
export const holderAddress = (who: Identity, holder: Pick<EtcdKeyValue, 'value'>): string | undefined => {
  const decoded = decodeInstance({
    service: who.service,
    id: who.id,
    value: holder.value,
    createRevision: 0,
    modRevision: 0,
  });
  return decoded.ok ? decoded.instance.address : undefined;
};

/** Who holds a key, for messages: its address and lease. */
export const describeHolder = (who: Identity, holder: EtcdKeyValue): string => {
  const address = holderAddress(who, holder) ?? 'a value that is not an instance';
  return holder.lease === '0'
    ? `${address} (without a lease: it stays until somebody deletes ${holder.key})`
    : `${address} (lease ${leaseHex(holder.lease)})`;
};
