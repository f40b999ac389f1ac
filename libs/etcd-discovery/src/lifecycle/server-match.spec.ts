import { describe, expect, it } from 'vitest';
import { describeServers, matchServer } from './server-match.js';
import type { ServerTransport, TrackedServer } from './tracked-server.js';

const server = (transport: ServerTransport, port?: number): TrackedServer => ({
  transport,
  served: port === undefined ? undefined : { host: '127.0.0.1', port, secure: false },
  drain: () => Promise.resolve(),
});

describe('matchServer', () => {
  it('takes the only server of the transport, whatever its port, without addr', () => {
    const grpc = server('grpc', 5001);
    expect(matchServer({ name: 'a', transport: 'grpc' }, [server('tcp', 1), grpc])).toEqual({ server: grpc });
  });

  it('takes the one bound to the port of addr among several', () => {
    const wanted = server('grpc', 5002);
    expect(matchServer({ name: 'a', transport: 'grpc', addr: '0.0.0.0:5002' }, [server('grpc', 5001), wanted])).toEqual(
      {
        server: wanted,
      },
    );
  });

  it('takes none of several where no port fits', () => {
    const servers = [server('grpc', 5001), server('grpc', 5002)];
    expect(matchServer({ name: 'a', transport: 'grpc', addr: '0.0.0.0:1' }, servers)).toBeUndefined();
    expect(matchServer({ name: 'a', transport: 'grpc' }, servers)).toBeUndefined();
  });

  it('publishes what is bound and warns where addr says otherwise', () => {
    const match = matchServer({ name: 'users', transport: 'grpc', addr: '0.0.0.0:8080' }, [server('grpc', 5001)]);
    expect(match?.server.served?.port).toBe(5001);
    expect(match?.warning).toMatch(/users.*0\.0\.0\.0:8080.*5001/);
  });

  it('accepts any port for an addr of port 0', () => {
    expect(matchServer({ name: 'a', transport: 'grpc', addr: '[::]:0' }, [server('grpc', 5001)])).not.toHaveProperty(
      'warning',
    );
  });

  it('waits for a server that is not bound yet, and for the right transport', () => {
    expect(matchServer({ name: 'a', transport: 'grpc' }, [server('grpc')])).toBeUndefined();
    expect(matchServer({ name: 'a', transport: 'grpc' }, [server('tcp', 5001)])).toBeUndefined();
  });
});

describe('describeServers', () => {
  it('names what there is', () => {
    expect(describeServers([])).toMatch(/no microservice/);
    expect(describeServers([server('tcp', 3000), server('grpc')])).toBe(
      'the application has tcp on port 3000, grpc (not bound)',
    );
  });
});
