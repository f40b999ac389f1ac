import type { handleBidiStreamingCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { ResponseHeader } from './etcd.messages.js';
import { type EtcdState, randomId } from './etcd.state.js';
import { unary } from './handlers.js';
import { keyBytes } from './key-index.js';

interface KeepAliveResponse {
  readonly header: ResponseHeader;
  readonly ID: string;
  readonly TTL: number;
}

/** etcd.Lease over `state`. */
export const leaseService = (state: EtcdState, random: () => number): UntypedServiceImplementation => {
  const keepAlive: handleBidiStreamingCall<{ ID: string }, KeepAliveResponse> = (stream) => {
    stream.on('data', ({ ID }: { ID: string }) => {
      // The header is made before the renewal, so that its revision is never newer than the renewal itself.
      const header = state.header();
      stream.write({ header, ID, TTL: state.leases.renew(ID)?.ttl ?? 0 });
    });
    stream.on('end', () => stream.end());
    // A broken connection: there is nobody left to tell.
    stream.on('error', () => {});
  };

  return {
    LeaseGrant: unary(({ ID, TTL }: { ID: string; TTL: string }) => {
      state.assertSpace();
      const id = ID === '0' ? randomId(random) : ID;
      const { ttl } = state.leases.grant(id, Number(TTL));
      return { header: state.header(), ID: id, TTL: ttl };
    }),
    LeaseRevoke: unary(({ ID }: { ID: string }) => {
      state.leases.revoke(ID);
      return { header: state.header() };
    }),
    LeaseTimeToLive: unary(({ ID, keys }: { ID: string; keys: boolean }) => {
      const lease = state.leases.get(ID);
      const header = state.header();
      if (!lease) return { header, ID, TTL: -1 };
      return {
        header,
        ID,
        TTL: Math.trunc(state.leases.remainingMs(lease) / 1000),
        grantedTTL: lease.ttl,
        keys: keys ? [...lease.keys].sort().map(keyBytes) : [],
      };
    }),
    LeaseLeases: unary(() => ({ header: state.header(), leases: state.leases.list().map(({ id }) => ({ ID: id })) })),
    LeaseKeepAlive: keepAlive,
  };
};
