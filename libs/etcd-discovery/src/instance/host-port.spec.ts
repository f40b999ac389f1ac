import { isIPv4, isIPv6 } from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatHostPort, isLoopback, isUnspecified, parseHostOptionalPort, parseHostPort } from './host-port.js';

describe('host:port', () => {
  it.each([
    ['10.0.0.7:50051', '10.0.0.7', 50_051],
    ['localhost:1', 'localhost', 1],
    ['users.default.svc.cluster.local:65535', 'users.default.svc.cluster.local', 65_535],
    ['my_service:80', 'my_service', 80],
    ['[::1]:50051', '::1', 50_051],
    ['[2001:db8::7]:443', '2001:db8::7', 443],
    ['[::ffff:10.0.0.7]:443', '::ffff:10.0.0.7', 443],
    ['0.0.0.0:8080', '0.0.0.0', 8080],
    ['1a.2b:80', '1a.2b', 80],
  ])('reads %s', (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
    expect(formatHostPort(host, port)).toBe(text);
  });

  it.each([
    '',
    ':',
    ':8080',
    'localhost',
    'localhost:',
    '10.0.0.7',
    '::1',
    '::1:50051',
    '[::1]',
    '[::1]50051',
    '[::1:50051',
    '[10.0.0.7]:80',
    '[localhost]:80',
    '[fe80::1%eth0]:80',
    '[]:80',
    'http://localhost:80',
    'grpc://10.0.0.7:50051',
    'unix:/tmp/x:1',
    'dns:///x:1',
    'localhost:80/',
    'localhost:80/path',
    'user@localhost:80',
    'user:pass@localhost:80',
    ' localhost:80',
    'localhost:80 ',
    'local host:80',
    'localhost:80\n',
    'localhost\u0000:80',
    'localhost:+80',
    'localhost:-1',
    'localhost:0x50',
    'localhost:080',
    'localhost:8e1',
    'localhost:80.0',
    'localhost:65536',
    'localhost:99999',
    'localhost:0',
    'localhost:http',
    '256.0.0.1:80',
    '1.2.3:80',
    '1.2.3.4.5:80',
    '010.0.0.1:80',
    '127.1:80',
    '2130706433:80',
    '0x7f000001:80',
    '0x7f.0.0.1:80',
    'host.0x10:80',
    'a..b:80',
    '.a:80',
    'a.:80',
    '-a:80',
    'a-:80',
    'a,b:80',
    'a*:80',
    'münchen.de:80',
    `${'a'.repeat(64)}:80`,
    `${'a.'.repeat(127)}ab:80`,
  ])('refuses %j', (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });

  it('takes port 0 only where it is asked for', () => {
    expect(parseHostPort('0.0.0.0:0')).toBeUndefined();
    expect(parseHostPort('0.0.0.0:0', { allowPortZero: true })).toEqual({ host: '0.0.0.0', port: 0 });
    expect(parseHostPort('0.0.0.0:00', { allowPortZero: true })).toBeUndefined();
  });

  it('gives back every address it is given', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
        expect(parseHostPort(formatHostPort(host, port))).toEqual({ host, port });
      }),
      { numRuns: 1000 },
    );
  });

  it('takes nothing from any text that a resolver could read in another way', () => {
    const text = fc.string({ unit: fc.constantFrom(...'0123456789abfx.:[]%@/-_ '.split('')), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: 'binary' })), (text) => {
        const parsed = parseHostPort(text);
        if (!parsed) return;
        expect(formatHostPort(parsed.host, parsed.port)).toBe(text);
        // The URL parser is the independent opinion: an IPv4 address in disguise comes out of it as dotted.
        const { hostname } = new URL(`http://${text}`);
        if (isIPv4(hostname)) expect(parsed.host).toBe(hostname);
        else if (!isIPv6(parsed.host)) expect(hostname).toBe(parsed.host);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('host with or without port', () => {
  it.each([
    ['10.0.0.7', { host: '10.0.0.7' }],
    ['10.0.0.7:80', { host: '10.0.0.7', port: 80 }],
    ['users.example.org', { host: 'users.example.org' }],
    ['users.example.org:80', { host: 'users.example.org', port: 80 }],
    ['2001:db8::7', { host: '2001:db8::7' }],
    ['[2001:db8::7]', { host: '2001:db8::7' }],
    ['[2001:db8::7]:80', { host: '2001:db8::7', port: 80 }],
  ])('reads %s', (text, expected) => expect(parseHostOptionalPort(text)).toEqual(expected));

  it.each(['', 'a:0', 'http://a', 'a/b', 'a b', '127.1', '[::1', 'fe80::1%eth0'])('refuses %j', (text) =>
    expect(parseHostOptionalPort(text)).toBeUndefined(),
  );
});

describe('kinds of hosts', () => {
  it.each(['127.0.0.1', '127.255.0.3', '::1', '[::1]', 'localhost', 'LOCALHOST', 'a.localhost', '::ffff:127.0.0.1'])(
    '%s is loopback',
    (host) => expect(isLoopback(host)).toBe(true),
  );

  it.each(['10.0.0.1', '128.0.0.1', '::2', 'localhost.example.org', 'mylocalhost', '', '0.0.0.0', '::'])(
    '%j is not loopback',
    (host) => expect(isLoopback(host)).toBe(false),
  );

  it.each(['', '0.0.0.0', '::', '[::]', '0:0:0:0:0:0:0:0', '::0', '::ffff:0.0.0.0'])('%j is unspecified', (host) =>
    expect(isUnspecified(host)).toBe(true),
  );

  it.each(['10.0.0.1', '::1', 'localhost', '127.0.0.1'])('%s is specified', (host) =>
    expect(isUnspecified(host)).toBe(false),
  );
});
