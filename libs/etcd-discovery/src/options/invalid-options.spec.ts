import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { resolveOptions } from './resolve-options.js';

const etcd = { endpoints: 'localhost:2379' };

/** The lines of the error, one per mistake. */
const mistakes = (input: unknown): string[] => {
  try {
    resolveOptions(input, {});
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOptionsError);
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.replace('  - ', ''));
  }
  throw new Error('nothing was refused');
};

const registration = (fields: object) => ({ etcd, registration: { name: 'users', ...fields } });
const client = (fields: object) => ({ etcd, client: fields });
const discovery = (fields: object) => ({ etcd, discovery: fields });

describe('wrong options', () => {
  it.each<[string, unknown, RegExp]>([
    // the whole
    ['no map', 'text', /^options: got "text"; expected a map$/],
    ['nothing', undefined, /^options: got nothing; expected a map$/],
    ['no etcd', {}, /^etcd: is missing; .*ETCD_ENDPOINTS.*enabled: false/],
    ['unknown key', { etcd, registrations: [] }, /^registrations: unknown option; did you mean "registration"\?$/],
    ['both spellings', { etcd, failFast: true, 'fail-fast': true }, /^fail-fast: is the same option as "failFast"/],
    ['enabled', { etcd, enabled: 'yes' }, /^enabled: got "yes"; expected true or false$/],
    ['connection name', { etcd, name: 'EU West' }, /^name: got "EU West"; expected a connection name/],
    // namespaces
    ['namespace of slashes', { etcd, namespace: '/' }, /^namespace: got "\/"; expected a key prefix/],
    ['empty namespace', { etcd, namespace: '' }, /^namespace: got ""/],
    ['empty segment', { etcd, namespace: '/a//b' }, /^namespace: got "\/a\/\/b"/],
    ['dots', { etcd, namespace: '/a/../b' }, /^namespace: /],
    ['spaces', { etcd, namespace: '/a b' }, /^namespace: /],
    // etcd
    ['no endpoints', { etcd: {} }, /^etcd\.endpoints: is missing; expected 'host:port'/],
    ['empty endpoints', { etcd: { endpoints: [] } }, /^etcd\.endpoints: got an empty list/],
    ['empty endpoint', { etcd: { endpoints: '' } }, /^etcd\.endpoints: got ""/],
    ['trailing comma', { etcd: { endpoints: 'a:1,' } }, /^etcd\.endpoints: got "a:1,"/],
    ['no port', { etcd: { endpoints: ['a:1', 'localhost'] } }, /^etcd\.endpoints: got a list.*but one is "localhost"/],
    ['port 0', { etcd: { endpoints: 'a:0' } }, /^etcd\.endpoints: /],
    ['a port as number', { etcd: { endpoints: 2379 } }, /^etcd\.endpoints: got 2379/],
    ['another scheme', { etcd: { endpoints: 'ftp://a:1' } }, /^etcd\.endpoints: got "ftp:\/\/a:1"/],
    ['a path', { etcd: { endpoints: 'http://a:1/v3' } }, /^etcd\.endpoints: /],
    ['mixed', { etcd: { endpoints: ['https://a:1', 'http://b:1'] } }, /^etcd\.endpoints: are partly https/],
    ['half mixed', { etcd: { endpoints: ['https://a:1', 'b:1'] } }, /^etcd\.endpoints: are partly https/],
    ['http with tls', { etcd: { endpoints: 'http://a:1', tls: {} } }, /^etcd\.endpoints: say http:\/\/, 'tls' says/],
    [
      'bad duration',
      { etcd: { ...etcd, 'dial-timeout': '5 s' } },
      /^etcd\.dial-timeout: got "5 s"; expected a duration/,
    ],
    ['seconds', { etcd: { ...etcd, dialTimeout: 5 } }, /^etcd\.dialTimeout: got 5; .*write '5s' or '5ms'/],
    ['negative', { etcd: { ...etcd, dialTimeout: -5 } }, /^etcd\.dialTimeout: got -5; expected a duration/],
    ['too long', { etcd: { ...etcd, dialTimeout: 1e12 } }, /at most 24 days/],
    ['no user', { etcd: { ...etcd, password: 'x' } }, /^etcd\.username: is missing; 'password' is given$/],
    ['no password', { etcd: { ...etcd, username: 'x' } }, /^etcd\.password: is missing; .*ETCD_PASSWORD/],
    ['cert alone', { etcd: { ...etcd, tls: { cert: 'a' } } }, /^etcd\.tls\.key: is missing; 'cert' needs it$/],
    ['key alone', { etcd: { ...etcd, tls: { key: 'a' } } }, /^etcd\.tls\.cert: is missing; 'key' needs it$/],
    ['PEM as string', { etcd: { ...etcd, tls: { ca: '-----BEGIN CERTIFICATE' } } }, /^etcd\.tls\.ca: .*Buffer\.from/],
    ['tls on', { etcd: { ...etcd, tls: true } }, /^etcd\.tls: got true; expected a map$/],
    // registrations
    [
      'name ../x',
      registration({ name: '../x' }),
      /^registration\.name: got "\.\.\/x"; expected a service name: 1 to 128/,
    ],
    ['name a/b', registration({ name: 'a/b' }), /^registration\.name: got "a\/b"/],
    ['empty name', registration({ name: '' }), /^registration\.name: got ""/],
    ['no name', { etcd, registration: {} }, /^registration\.name: is missing; expected a service name/],
    ['long name', registration({ name: 'x'.repeat(200) }), /^registration\.name: got "x{80}…"/],
    ['upper case', registration({ name: 'Users' }), /^registration\.name: got "Users"/],
    [
      'addr without port',
      registration({ addr: 'localhost' }),
      /^registration\.addr: got "localhost"; expected 'host:port'/,
    ],
    ['addr without host', registration({ addr: ':8080' }), /^registration\.addr: /],
    ['addr with scheme', registration({ addr: 'http://a:1' }), /^registration\.addr: /],
    ['addr as number', registration({ addr: 8080 }), /^registration\.addr: got 8080/],
    [
      'transport',
      registration({ transport: 'udp' }),
      /^registration\.transport: got "udp"; expected one of grpc, tcp, http$/,
    ],
    ['id', registration({ id: 'a/b' }), /^registration\.id: got "a\/b"; expected an instance id/],
    [
      'advertise 0.0.0.0',
      registration({ advertise: '0.0.0.0:80' }),
      /^registration\.advertise: got "0\.0\.0\.0:80"; .*but it means/,
    ],
    [
      'advertise ::',
      registration({ advertise: '[::]:80' }),
      /^registration\.advertise: .*every address of this machine/,
    ],
    ['advertise link-local', registration({ advertise: '169.254.10.1' }), /^registration\.advertise: .*link-local/],
    ['advertise fe80', registration({ advertise: '[fe80::1]:80' }), /^registration\.advertise: .*link-local/],
    ['advertise multicast', registration({ advertise: '224.0.0.1:80' }), /^registration\.advertise: .*multicast/],
    ['advertise a URL', registration({ advertise: 'http://a:1' }), /^registration\.advertise: .*not host or host:port/],
    ['advertise port 0', registration({ advertise: 'a:0' }), /^registration\.advertise: /],
    ['version as number', registration({ version: 1.2 }), /^registration\.version: got 1\.2; .*put it in quotes$/],
    ['zone', registration({ zone: 'a\nb' }), /^registration\.zone: got "a\\u000ab"; expected a zone/],
    ['weight 0', registration({ weight: 0 }), /^registration\.weight: got 0; expected an integer from 1 to 10000$/],
    ['weight 1.5', registration({ weight: 1.5 }), /^registration\.weight: got 1\.5/],
    ['weight 10001', registration({ weight: 10_001 }), /^registration\.weight: /],
    ['weight as text', registration({ weight: '10' }), /^registration\.weight: got "10"/],
    ['ttl: 10', registration({ ttl: 10 }), /^registration\.ttl: got 10; .*plain number is milliseconds: write '10s'/],
    ['ttl too short', registration({ ttl: '1s' }), /^registration\.ttl: got "1s"; .*at least '2s'$/],
    ['ttl too short', registration({ ttl: 1999 }), /^registration\.ttl: got 1999; .*at least '2s'$/],
    [
      'metadata a list',
      registration({ metadata: ['a'] }),
      /^registration\.metadata: got a list; expected a map of strings$/,
    ],
    ['metadata number', registration({ metadata: { a: 1 } }), /^registration\.metadata\.a: got 1; .*put it in quotes$/],
    [
      'metadata null',
      registration({ metadata: { a: null } }),
      /^registration\.metadata\.a: got nothing; expected a string$/,
    ],
    [
      'metadata weight',
      registration({ metadata: { weight: '5' } }),
      /^registration\.metadata\.weight: .*set 'weight' of the reg/,
    ],
    ['metadata newline', registration({ metadata: { a: 'x\ny' } }), /^registration\.metadata\.a: .*control characters/],
    [
      'metadata __proto__',
      registration({ metadata: JSON.parse('{"__proto__":"x"}') }),
      /^registration\.metadata\.__proto__: /,
    ],
    ['mirror', registration({ mirror: { gozero: 'x' } }), /^registration\.mirror\.gozero: .*did you mean "goZero"/],
    [
      'the same twice',
      { etcd, registration: [{ name: 'a' }, { name: 'a' }] },
      /^registration\[1\]: is the same as registration\[0\]/,
    ],
    // clients
    [
      'policy',
      client({ loadBalancing: 'round-robin' }),
      /^client\.loadBalancing: got "round-robin"; .*did you mean round_robin\?$/,
    ],
    [
      'policy map',
      client({ loadBalancing: { name: 'x' } }),
      /^client\.loadBalancing: got a map; expected one of least_request/,
    ],
    ['retry', client({ retry: true }), /^client\.retry: got true; expected false or a map$/],
    [
      'one attempt',
      client({ retry: { maxAttempts: 1 } }),
      /^client\.retry\.maxAttempts: got 1; expected an integer from 2 to 5$/,
    ],
    [
      'tokens',
      client({ retry: { maxTokens: 0 } }),
      /^client\.retry\.maxTokens: got 0; expected a number above 0, at most 1000$/,
    ],
    [
      'backoffs',
      client({ retry: { initialBackoff: '1s', maxBackoff: '10ms' } }),
      /^client\.retry\.maxBackoff: is below/,
    ],
    [
      'method',
      client({ retryableMethods: ['Get'] }),
      /^client\.retryableMethods\[0\]: got "Get"; expected 'Service\/Method'/,
    ],
    ['methods', client({ retryableMethods: 'A/B' }), /^client\.retryableMethods: got "A\/B"; expected a list$/],
    ['service name', { etcd, services: { 'A B': {} } }, /^services\["A B"\]: is not a service name/],
    [
      'service option',
      { etcd, services: { a: { deadlin: '1s' } } },
      /^services\.a\.deadlin: .*did you mean "deadline"/,
    ],
    // discovery
    ['static name', discovery({ static: { 'a/b': ['a:1'] } }), /^discovery\.static\["a\/b"\]: is not a service name/],
    [
      'static address',
      discovery({ static: { a: ['a:1', 'b'] } }),
      /^discovery\.static\.a\[1\]: got "b"; expected 'host:port'/,
    ],
    [
      'source',
      discovery({ sources: [{ service: 'a', prefix: 'x', format: 'consul' }] }),
      /^discovery\.sources\[0\]\.format: got "consul"/,
    ],
    [
      'cidr',
      discovery({ allowedCidrs: ['10.0.0.0'] }),
      /^discovery\.allowedCidrs\[0\]: got "10\.0\.0\.0"; .*'10\.0\.0\.7\/32'/,
    ],
    ['cidr bits', discovery({ allowedCidrs: ['10.0.0.0/33'] }), /^discovery\.allowedCidrs\[0\]: /],
    ['port', discovery({ allowedPorts: [0] }), /^discovery\.allowedPorts\[0\]: got 0; expected a port/],
    ['port range', discovery({ allowedPorts: ['9-8'] }), /^discovery\.allowedPorts\[0\]: got "9-8"/],
    ['ports', discovery({ allowedPorts: ['1-70000'] }), /^discovery\.allowedPorts\[0\]: /],
  ])('%s', (_what, input, expected) => {
    const lines = mistakes(input);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(expected);
  });

  it('are reported all at once, those between fields included', () => {
    const lines = mistakes({
      etcd: { endpoints: ['nowhere'], password: 'x', 'dial-timeout': 5, tls: { cert: 'a' } },
      registration: [{ name: 'A' }, { name: 'b', ttl: 10, metadata: { a: 1 } }],
      namespace: '//',
      client: { retry: { maxAttempts: 9 } },
      services: { users: { deadline: 'soon' } },
      bogus: 1,
    });
    expect(lines.map((line) => line.slice(0, line.indexOf(': '))).toSorted()).toEqual(
      [
        'bogus',
        'client.retry.maxAttempts',
        'etcd.dial-timeout',
        'etcd.endpoints',
        'etcd.tls.key',
        'etcd.username',
        'namespace',
        'registration[0].name',
        'registration[1].metadata.a',
        'registration[1].ttl',
        'services.users.deadline',
      ].toSorted(),
    );
  });

  it('have a message that counts them', () => {
    expect(() => resolveOptions({ etcd, x: 1 }, {})).toThrow(
      '1 mistake in the options of EtcdDiscoveryModule:\n  - x: ',
    );
    expect(() => resolveOptions({ etcd, x: 1, y: 1 }, {})).toThrow('2 mistakes in the options');
  });

  it('may be metadata of too many entries or bytes', () => {
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v']));
    expect(mistakes(registration({ metadata: many }))).toEqual([
      'registration.metadata: has 65 entries, at most 64 are allowed',
    ]);
    const large = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`k${i}`, 'v'.repeat(1000)]));
    expect(mistakes(registration({ metadata: large }))[0]).toMatch(/has \d+ bytes, at most 6144 are allowed/);
  });
});

describe('secrets in wrong options', () => {
  const SECRET = 'hunter2-canary';

  it.each<[string, unknown]>([
    ['a password without a user', { etcd: { ...etcd, password: SECRET } }],
    ['a password of another kind', { etcd: { ...etcd, username: 'x', password: [SECRET] } }],
    ['a password as key of a map', { etcd: { ...etcd, username: 'x', password: { value: SECRET } } }],
    ['a mistyped password key', { etcd: { ...etcd, pasword: SECRET } }],
    ['a password in the wrong place', { etcd, password: SECRET }],
    ['a user in an endpoint', { etcd: { endpoints: `http://root:${SECRET}@a:1` } }],
    ['a user in one endpoint of several', { etcd: { endpoints: ['a:1', `root:${SECRET}@b`] } }],
    ['a user among comma-separated endpoints', { etcd: { endpoints: `a:1,https://root:${SECRET}/@b:1,c` } }],
    ['a token in an endpoint', { etcd: { endpoints: `http://a:1/?token=${SECRET}` } }],
    ['an endpoint in place of etcd', { etcd: `https://root:${SECRET}@a:1` }],
    [
      'a key in place of its path',
      { etcd: { ...etcd, tls: { cert: 'a', key: `-----BEGIN PRIVATE KEY-----\n${SECRET}` } } },
    ],
    ['a key of another kind', { etcd: { ...etcd, tls: { cert: 'a', key: [SECRET] } } }],
    ['a key in place of a certificate', { etcd: { ...etcd, tls: { ca: `-----BEGIN PRIVATE KEY-----\n${SECRET}` } } }],
    ['a key in place of tls', { etcd: { ...etcd, tls: `-----BEGIN PRIVATE KEY-----\n${SECRET}` } }],
  ])('are not shown: %s', (_what, input) => {
    expect.hasAssertions();
    try {
      resolveOptions(input, {});
    } catch (error) {
      expect(inspect(error, { depth: 10 })).not.toContain(SECRET);
      expect(String(error)).toContain('mistake');
    }
  });

  it('are marked where a value would stand', () => {
    expect(mistakes({ etcd: { ...etcd, username: 'root', password: 42 } })).toEqual([
      'etcd.password: got [redacted]; expected a password as a string: put it in quotes',
    ]);
  });

  it('of the environment are not shown either', () => {
    const env = { ETCD_ENDPOINTS: 'bad', ETCD_PASSWORD: SECRET };
    expect(() => resolveOptions({}, env)).toThrow(/etcd\.username: is missing/);
    expect(() => resolveOptions({}, env)).not.toThrow(new RegExp(SECRET));
  });
});
