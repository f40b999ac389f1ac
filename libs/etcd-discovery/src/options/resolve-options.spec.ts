import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { clientDefaultsOf, resolveOptions, resolveRegistration, resolveRegistrationPatch } from './resolve-options.js';

const etcd = { endpoints: 'localhost:2379' };
const resolve = (input: object, env: NodeJS.ProcessEnv = {}) => resolveOptions({ etcd, ...input }, env);

describe('options that say little', () => {
  it('get every default', () => {
    expect(resolve({ registration: { name: 'users' } })).toEqual({
      name: 'default',
      enabled: true,
      namespace: '/services',
      failFast: false,
      etcd: { endpoints: ['localhost:2379'], dialTimeoutMs: 5000 },
      registrations: [
        { name: 'users', transport: 'grpc', weight: 10, metadata: {}, ttlMs: 10_000, mirror: { plain: false } },
      ],
      shutdown: { propagationWaitMs: 1000, drainTimeoutMs: 10_000 },
      discovery: { resolveTimeoutMs: 5000, suspectTimeoutMs: 300_000, static: {}, sources: [], plainKeys: true },
      client: {
        loadBalancing: { policy: 'least_request' },
        retry: { maxAttempts: 4, initialBackoffMs: 20, maxBackoffMs: 500, maxTokens: 1000 },
        retryableMethods: [],
        deadlineMs: 10_000,
        waitForReady: false,
        keepalive: { timeMs: 30_000, timeoutMs: 5000 },
        outlierDetection: {},
      },
      services: {},
    });
  });

  it('need no etcd when it is off', () => {
    const options = resolveOptions({ enabled: false, discovery: { static: { users: '10.0.0.7:1' } } }, {});
    expect(options).toMatchObject({ enabled: false, etcd: { endpoints: [] } });
    expect(options.discovery.static.users).toEqual(['10.0.0.7:1']);
  });
});

describe('options that say everything', () => {
  const full = {
    name: 'eu',
    enabled: true,
    namespace: 'prod/services/',
    'fail-fast': true,
    etcd: {
      endpoints: ['https://a:1', 'https://[::1]:2/'],
      'dial-timeout': '1.5s',
      username: 'root',
      password: 'hunter2',
      tls: { ca: 'ca.pem', cert: Buffer.from('cert'), key: Buffer.from('key'), 'server-name': 'etcd' },
    },
    registration: [
      {
        name: 'users',
        addr: '0.0.0.0:0',
        transport: 'tcp',
        id: 'users-1',
        advertise: 'users.example.org:443',
        version: '1.2.0',
        zone: 'a',
        weight: 10_000,
        metadata: { 'some-key': 'x', someKey: 'y' },
        ttl: '2s',
        mirror: { 'go-zero': 'users.rpc', plain: true },
      },
    ],
    shutdown: { 'propagation-wait': 0, 'drain-timeout': '1m' },
    discovery: {
      'resolve-timeout': 300,
      'suspect-timeout': '1h',
      'snapshot-file': 'x.json',
      static: { 'users-v2': ['10.0.0.7:1', '[::1]:2'] },
      sources: [{ service: 'users', prefix: 'users.rpc', format: 'go-zero' }],
      'plain-keys': false,
      'allowed-cidrs': ['10.0.0.0/8', 'fd00::/8'],
      'allowed-ports': [8080, '9000', '50000-50100'],
      'allow-loopback': true,
    },
    client: {
      'load-balancing': 'round_robin',
      retry: false,
      'retryable-methods': ['Users/Get', 'users.v1.Users/*'],
      deadline: 0,
      'wait-for-ready': true,
      keepalive: { time: '10s' },
      'outlier-detection': false,
      zone: 'a',
    },
    services: {
      'user-profiles': {
        'load-balancing': { policy: 'consistent_hash', 'hash-header': 'x-user' },
        retry: { 'max-attempts': 2 },
      },
    },
  };

  it('are brought to camelCase, milliseconds and lists; keys of the user stay as they are', () => {
    expect(resolveOptions(full, {})).toEqual({
      name: 'eu',
      enabled: true,
      namespace: '/prod/services',
      failFast: true,
      etcd: {
        endpoints: ['a:1', '[::1]:2'],
        dialTimeoutMs: 1500,
        username: 'root',
        password: 'hunter2',
        tls: { ca: 'ca.pem', cert: Buffer.from('cert'), key: Buffer.from('key'), serverName: 'etcd' },
      },
      registrations: [
        {
          name: 'users',
          addr: '0.0.0.0:0',
          transport: 'tcp',
          id: 'users-1',
          advertise: 'users.example.org:443',
          version: '1.2.0',
          zone: 'a',
          weight: 10_000,
          metadata: { 'some-key': 'x', someKey: 'y' },
          ttlMs: 2000,
          mirror: { goZero: 'users.rpc', plain: true },
        },
      ],
      shutdown: { propagationWaitMs: 0, drainTimeoutMs: 60_000 },
      discovery: {
        resolveTimeoutMs: 300,
        suspectTimeoutMs: 3_600_000,
        snapshotFile: 'x.json',
        static: { 'users-v2': ['10.0.0.7:1', '[::1]:2'] },
        sources: [{ service: 'users', prefix: 'users.rpc', format: 'go-zero' }],
        plainKeys: false,
        allowedCidrs: ['10.0.0.0/8', 'fd00::/8'],
        allowedPorts: [
          { from: 8080, to: 8080 },
          { from: 9000, to: 9000 },
          { from: 50_000, to: 50_100 },
        ],
        allowLoopback: true,
      },
      client: {
        loadBalancing: { policy: 'round_robin' },
        retry: false,
        retryableMethods: ['Users/Get', 'users.v1.Users/*'],
        deadlineMs: 0,
        waitForReady: true,
        keepalive: { timeMs: 10_000, timeoutMs: 5000 },
        outlierDetection: false,
        zone: 'a',
      },
      services: {
        'user-profiles': {
          loadBalancing: { policy: 'consistent_hash', hashHeader: 'x-user' },
          retry: { maxAttempts: 2, initialBackoffMs: 20, maxBackoffMs: 500, maxTokens: 1000 },
        },
      },
    });
  });

  it('mean the same in camelCase', () => {
    const camel = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(camel);
      if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          ['some-key', 'users-v2', 'user-profiles'].includes(key)
            ? key
            : key.replace(/-(.)/g, (_all, letter: string) => letter.toUpperCase()),
          camel(item),
        ]),
      );
    };
    expect(resolveOptions(camel(full), {})).toEqual(resolveOptions(full, {}));
  });
});

describe('client settings', () => {
  it('of a service win over the common ones, group by group', () => {
    const options = resolve({
      client: { deadline: '3s', retry: { maxAttempts: 3, maxBackoff: '1s' }, retryableMethods: ['A/B'] },
      services: {
        users: { retry: { initialBackoff: '50ms' }, retryableMethods: ['C/*'], keepalive: { timeout: '1s' } },
      },
    });
    expect(clientDefaultsOf(options, 'users')).toMatchObject({
      deadlineMs: 3000,
      retry: { maxAttempts: 3, initialBackoffMs: 50, maxBackoffMs: 1000, maxTokens: 1000 },
      retryableMethods: ['A/B', 'C/*'],
      keepalive: { timeMs: 30_000, timeoutMs: 1000 },
    });
    expect(clientDefaultsOf(options, 'others')).toEqual(options.client);
  });

  it('of a service that has a name of Object.prototype are its own or none', () => {
    const options = resolve({ services: { users: {} } });
    expect(clientDefaultsOf(options, 'constructor')).toEqual(options.client);
    expect(options.discovery.static.constructor).toBeUndefined();
  });

  it('keep the backoff in order when only one bound is given', () => {
    expect(resolve({ client: { retry: { initialBackoff: '2s' } } }).client.retry).toMatchObject({
      initialBackoffMs: 2000,
      maxBackoffMs: 2000,
    });
    expect(resolve({ client: { retry: { maxBackoff: 5 } } }).client.retry).toMatchObject({
      initialBackoffMs: 5,
      maxBackoffMs: 5,
    });
  });
});

describe('etcd', () => {
  it.each([
    ['a:1', ['a:1']],
    ['a:1, b:2', ['a:1', 'b:2']],
    [
      ['a:1', 'b:2,c:3'],
      ['a:1', 'b:2', 'c:3'],
    ],
    ['http://a:1/', ['a:1']],
    [['a:1', 'a:1'], ['a:1']],
  ])('endpoints %j are %j', (endpoints, expected) => {
    expect(resolve({ etcd: { endpoints } }).etcd).toEqual({ endpoints: expected, dialTimeoutMs: 5000 });
  });

  it('is encrypted when an endpoint says https, or tls is there', () => {
    expect(resolve({ etcd: { endpoints: 'https://a:1' } }).etcd.tls).toEqual({});
    expect(resolve({ etcd: { endpoints: 'a:1', tls: {} } }).etcd.tls).toEqual({});
    expect(resolve({ etcd: { endpoints: 'a:1' } }).etcd.tls).toBeUndefined();
  });

  it('takes empty credentials as none', () => {
    expect(resolve({ etcd: { ...etcd, username: '', password: '' } }).etcd).toEqual(resolve({}).etcd);
  });
});

describe('the environment', () => {
  const env = { ETCD_ENDPOINTS: 'a:1,b:2', ETCD_USERNAME: 'root', ETCD_PASSWORD: 'hunter2' };

  it('says where etcd is when the options do not', () => {
    const expected = { endpoints: ['a:1', 'b:2'], username: 'root', password: 'hunter2' };
    expect(resolveOptions({}, env).etcd).toMatchObject(expected);
    expect(resolveOptions({ etcd: { 'dial-timeout': '1s' } }, env).etcd).toEqual({ ...expected, dialTimeoutMs: 1000 });
    expect(resolveOptions({ etcd: { username: 'me', password: '' } }, env).etcd).toMatchObject({ username: 'me' });
  });

  it('never redirects, nor sends its password to, an etcd that the options name', () => {
    expect(resolve({}, env).etcd).toEqual({ endpoints: ['localhost:2379'], dialTimeoutMs: 5000 });
  });

  it('counts as unset when empty', () => {
    expect(() => resolveOptions({}, { ETCD_ENDPOINTS: '' })).toThrow(/etcd: is missing/);
  });

  it('is named when it is wrong', () => {
    expect(() => resolveOptions({}, { ETCD_ENDPOINTS: 'nowhere' })).toThrow(
      /etcd\.endpoints: got "nowhere"; expected .*\(from the environment variable ETCD_ENDPOINTS\)/,
    );
  });
});

describe('a single registration', () => {
  it('is resolved like one of the options', () => {
    expect(resolveRegistration({ name: 'users', ttl: '3s' })).toEqual(
      resolve({ registration: { name: 'users', ttl: '3s' } }).registrations[0],
    );
    expect(() => resolveRegistration({ name: 'A', wieght: 3 })).toThrow(
      /2 mistakes.*registration\.wieght.*registration\.name/s,
    );
    expect(() => resolveRegistration(undefined)).toThrow(InvalidOptionsError);
  });

  it('changes only in what is given', () => {
    expect(resolveRegistrationPatch({ weight: 5 })).toEqual({ weight: 5 });
    expect(resolveRegistrationPatch({ metadata: { a: 'b' }, zone: 'c', version: '' })).toEqual({
      metadata: { a: 'b' },
      zone: 'c',
    });
    expect(() => resolveRegistrationPatch({ name: 'x', weight: 0, metadata: { a: 1 } })).toThrow(/3 mistakes/);
  });
});
