import { type experimental, status } from '@grpc/grpc-js';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeConnection, instanceOf } from '../../../test/grpc/support/fake-connection.js';
import { FakeClock, settle } from '../../../test/support/fake-clock.js';
import { ConnectionDirectory } from '../../catalog/connection-directory.js';
import { BALANCER_ATTRIBUTES, type DiscoveryEndpoint } from './discovery-endpoint.js';
import { createResolverClass } from './etcd-resolver.js';

type Reported = { addresses: string[]; note: string } | { error: string };

let clock: FakeClock;
let connections: ConnectionDirectory;
let connection: FakeConnection;
let reported: Reported[];
let configs: (object | null)[];
let attributes: Record<string, unknown>[];

const listener: experimental.ResolverListener = (list, given, config, note) => {
  configs.push(config?.ok ? config.value : null);
  attributes.push(given);
  reported.push(
    list.ok
      ? { addresses: (list.value as DiscoveryEndpoint[]).map(({ addresses: [a] }) => `${a!.host}:${a!.port}`), note }
      : { error: `${list.error.code} ${list.error.details}` },
  );
  return true;
};

const resolverFor = (target: { authority?: string; path: string }, options = {}, to: unknown = listener) => {
  const Resolver = createResolverClass({ connections, clock });
  return new Resolver({ scheme: 'etcd', ...target }, to as experimental.ResolverListener, options);
};
const echo = (options = {}) => resolverFor({ authority: '', path: 'echo' }, options);

beforeEach(() => {
  clock = new FakeClock();
  connections = new ConnectionDirectory();
  connection = new FakeConnection();
  reported = [];
  configs = [];
  attributes = [];
});

const A = instanceOf('a', '10.0.0.1:1');
const B = instanceOf('b', '10.0.0.2:2');

describe('the contract of a grpc-js resolver', () => {
  beforeEach(() => {
    connections.open(connection);
    connection.catalog.push('echo', [A]);
  });

  it('reports nothing before it is started, and never from within', async () => {
    const resolver = echo();
    await settle();
    expect(reported).toEqual([]);
    resolver.updateResolution();
    expect(reported).toEqual([]);
    await settle();
    expect(reported).toEqual([{ addresses: ['10.0.0.1:1'], note: '' }]);
  });

  it('does nothing when asked again, because it lives on pushes', async () => {
    const resolver = echo();
    for (let i = 0; i < 3; i++) resolver.updateResolution();
    await settle();
    for (let i = 0; i < 3; i++) resolver.updateResolution();
    await settle();
    expect(reported).toHaveLength(1);
    expect(connection.catalog.acquired).toEqual(['echo']);
    connection.catalog.push('echo', [A, B]);
    expect(reported).toHaveLength(2);
  });

  it('reports nothing after destroy, and holds nothing', async () => {
    const resolver = echo();
    resolver.updateResolution();
    resolver.destroy();
    await settle();
    expect(reported).toEqual([]);
    resolver.updateResolution();
    await settle();
    resolver.destroy();
    resolver.destroy();
    connection.catalog.push('echo', [B]);
    await clock.advance(60_000);
    expect(reported).toHaveLength(1);
    expect(connection.catalog.open).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('is alive again after destroy and updateResolution', async () => {
    const resolver = echo();
    resolver.updateResolution();
    await settle();
    resolver.destroy();
    connection.catalog.push('echo', [B]);
    resolver.updateResolution();
    await settle();
    expect(reported.at(-1)).toEqual({ addresses: ['10.0.0.2:2'], note: '' });
    expect(connection.catalog.open).toBe(1);
  });

  it('speaks to the listeners of grpc-js 1.10 to 1.13', async () => {
    const calls: unknown[] = [];
    const legacy = {
      onSuccessfulResolution: (endpoints: DiscoveryEndpoint[], config: object) =>
        calls.push(endpoints.length, 'loadBalancingConfig' in config, 'retryThrottling' in config),
      onError: ({ details }: { details: string }) => calls.push(details),
    };
    const resolver = resolverFor({ path: 'echo' }, {}, legacy);
    resolver.updateResolution();
    await settle();
    connection.catalog.push('echo', []);
    expect(calls).toEqual([1, true, false, expect.stringContaining('no instance of service "echo" is registered')]);
  });
});

describe('what is reported', () => {
  beforeEach(() => connections.open(connection));

  it('only instances with a gRPC endpoint, one per address: the one created last', async () => {
    const tcp = instanceOf('t', '10.0.0.3:3', {
      endpoints: [{ protocol: 'tcp', host: '10.0.0.3', port: 3, secure: false }],
    });
    const old = instanceOf('old', '10.0.0.1:1', { createRevision: A.createRevision - 1 });
    connection.catalog.push('echo', [old, A, tcp, B]);
    echo().updateResolution();
    await settle();
    expect(reported).toEqual([{ addresses: ['10.0.0.1:1', '10.0.0.2:2'], note: '' }]);
    connection.catalog.push('echo', [tcp]);
    expect(reported.at(-1)).toMatchObject({
      addresses: [],
      note: 'none of the 1 instances of service "echo" has a gRPC endpoint',
    });
  });

  it('the instance itself rides on the endpoint', async () => {
    connection.catalog.push('echo', [A]);
    let endpoint: DiscoveryEndpoint | undefined;
    const keep: experimental.ResolverListener = (list) => {
      if (list.ok) endpoint = list.value[0] as DiscoveryEndpoint;
      return true;
    };
    resolverFor({ path: 'echo' }, {}, keep).updateResolution();
    await settle();
    expect(endpoint?.instance).toBe(A);
  });

  it('an empty service at once', async () => {
    connection.catalog.push('echo', []);
    echo().updateResolution();
    await settle();
    expect(reported).toEqual([
      { addresses: [], note: expect.stringContaining('no instance of service "echo" is registered') as string },
    ]);
  });

  it('silence of etcd after resolveTimeout, then the list when it comes', async () => {
    connection.resolveTimeoutMs = 3_000;
    echo().updateResolution();
    await clock.advance(2_999);
    expect(reported).toEqual([]);
    await clock.advance(1);
    expect(reported).toEqual([
      { error: expect.stringMatching(/^14 service "echo" .* has not answered within 3000 ms \(since 20/) as string },
    ]);
    connection.catalog.push('echo', [A]);
    expect(reported.at(-1)).toEqual({ addresses: ['10.0.0.1:1'], note: '' });
  });

  it('a refusal of etcd at once, with what it said', async () => {
    echo().updateResolution();
    await settle();
    connection.catalog.refuse('permission denied');
    expect(reported).toEqual([
      {
        error: expect.stringMatching(/^14 service "echo" is not resolved yet: etcd says: permission denied/) as string,
      },
    ]);
  });

  it('nothing about trouble while instances are known', async () => {
    connection.catalog.push('echo', [A]);
    echo().updateResolution();
    await settle();
    connection.catalog.refuse('unavailable');
    await clock.advance(60_000);
    expect(reported).toHaveLength(1);
  });

  it('to the balancer: whom it serves and how to keep alive', async () => {
    connection.catalog.push('echo', [A]);
    echo().updateResolution();
    await settle();
    expect(attributes[0]![BALANCER_ATTRIBUTES]).toEqual({
      connection: 'default',
      service: 'echo',
      keepalive: { timeMs: 30_000, timeoutMs: 5_000 },
    });
  });
});

describe('connections', () => {
  it('a channel may be there first', async () => {
    echo().updateResolution();
    await clock.advance(1_000);
    expect(reported).toEqual([]);
    connection.catalog.push('echo', [A]);
    connections.open(connection);
    expect(reported).toEqual([{ addresses: ['10.0.0.1:1'], note: '' }]);
  });

  it('without any, calls fail after a while and are told what is missing', async () => {
    resolverFor({ authority: 'billing', path: 'echo' }).updateResolution();
    connections.open(connection);
    await clock.advance(5_000);
    expect(reported).toEqual([
      { error: expect.stringMatching(/no discovery connection "billing" is open .* with name: 'billing'/) as string },
    ]);
    expect(status.UNAVAILABLE).toBe(14);
  });

  it('goes on with the next of the name when one closes, and keeps the instances in between', async () => {
    connection.catalog.push('echo', [A]);
    const closeFirst = connections.open(connection);
    echo().updateResolution();
    await settle();
    closeFirst();
    await connection.catalog.close();
    expect(connection.catalog.open).toBe(0);
    await clock.advance(60_000);
    expect(reported).toHaveLength(1);
    const next = new FakeConnection();
    next.catalog.push('echo', [B]);
    connections.open(next);
    expect(reported.at(-1)).toEqual({ addresses: ['10.0.0.2:2'], note: '' });
  });

  it('tries the next when the first is closing but still listed', async () => {
    connection.catalog.push('echo', [A]);
    const closeFirst = connections.open(connection);
    await connection.catalog.close();
    echo().updateResolution();
    await settle();
    const next = new FakeConnection();
    next.catalog.push('echo', [B]);
    connections.open(next);
    closeFirst();
    expect(reported).toEqual([{ addresses: ['10.0.0.2:2'], note: '' }]);
  });
});

describe('targets', () => {
  it.each(['', '../x', 'a/b', 'a'.repeat(200), 'A b'])(
    'refuses the service name %j when the channel is made',
    (path) => {
      const Resolver = createResolverClass({ connections, clock });
      expect(() => Resolver.getDefaultAuthority({ scheme: 'etcd', authority: '', path })).toThrow('service name');
    },
  );

  it('takes the service as the authority', () => {
    const Resolver = createResolverClass({ connections, clock });
    expect(Resolver.getDefaultAuthority({ scheme: 'etcd', authority: 'x', path: 'echo' })).toBe('echo');
  });
});

describe('the service config', () => {
  it('comes from the options of the connection, with fallbacks', async () => {
    connection.defaults = { retryableMethods: ['echo.v1.Echo/Get', 'echo.v1.Other/*'], zone: 'a' };
    connections.open(connection);
    connection.catalog.push('echo', [A]);
    echo().updateResolution();
    await settle();
    expect(configs[0]).toEqual({
      loadBalancingConfig: [{ etcd_discovery: { policy: 'least_request', zone: 'a' } }, { round_robin: {} }],
      methodConfig: [
        { name: [{ service: 'echo.v1.Echo', method: 'Get' }], retryPolicy: expect.any(Object) as object },
        { name: [{ service: 'echo.v1.Other' }], retryPolicy: expect.any(Object) as object },
      ],
      retryThrottling: { maxTokens: 1000, tokenRatio: 0.1 },
    });
  });

  it('is the user´s alone where the channel says so', async () => {
    connections.open(connection);
    connection.catalog.push('echo', [A]);
    echo({ 'grpc.service_config_disable_resolution': 1 }).updateResolution();
    await settle();
    expect(configs).toEqual([null]);
  });
});
