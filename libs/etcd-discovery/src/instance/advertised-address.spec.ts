import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { type AdvertiseInput, chooseAdvertisedAddress } from './advertised-address.js';

const info = (address: string, internal = false): NetworkInterfaceInfo =>
  ({
    address,
    internal,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    netmask: '',
    mac: '',
    cidr: null,
  }) as NetworkInterfaceInfo;

const lo = [info('127.0.0.1', true), info('::1', true)];

const choose = (input: Partial<AdvertiseInput>) =>
  chooseAdvertisedAddress({
    bound: { host: '0.0.0.0', port: 8080 },
    env: {},
    etcdEndpoints: ['etcd.example.org:2379'],
    interfaces: { lo, eth0: [info('10.0.0.7'), info('fe80::1')] },
    ...input,
  });

describe('the advertised address', () => {
  it('is `advertise`, before everything else', () => {
    const input = { env: { POD_IP: '10.1.1.1' }, etcdLocalAddress: '10.2.2.2' };
    expect(choose({ ...input, advertise: 'users.example.org:443' })).toEqual({
      host: 'users.example.org',
      port: 443,
      reason: 'option advertise',
    });
  });

  it('takes the bound port where `advertise` has none', () => {
    expect(choose({ advertise: '10.9.9.9' })).toMatchObject({ host: '10.9.9.9', port: 8080 });
    expect(choose({ advertise: '2001:db8::7' })).toMatchObject({ host: '2001:db8::7', port: 8080 });
  });

  it('may be loopback on purpose', () => {
    expect(choose({ advertise: '127.0.0.1:1' })).toMatchObject({ host: '127.0.0.1', port: 1 });
  });

  it.each([
    '0.0.0.0',
    '0.0.0.0:80',
    '[::]:80',
    '169.254.1.1:80',
    '[fe80::1]:80',
    '224.0.0.1:80',
    'http://a:1',
    'a:0',
    'a b',
  ])('refuses `advertise` %j, and says why', (advertise) => {
    expect(() => choose({ advertise })).toThrow(InvalidOptionsError);
    expect(() => choose({ advertise })).toThrow(/cannot be used: it /);
  });

  it('is the one address the server listens on, and a differing POD_IP is pointed out', () => {
    expect(choose({ bound: { host: '10.0.0.9', port: 1 }, etcdLocalAddress: '10.2.2.2' })).toEqual({
      host: '10.0.0.9',
      port: 1,
      reason: 'the server listens on this address alone',
    });
    const { host, warning } = choose({ bound: { host: '127.0.0.1', port: 1 }, env: { POD_IP: '10.1.1.1' } });
    expect(host).toBe('127.0.0.1');
    expect(warning).toMatch(/POD_IP is 10\.1\.1\.1, but the server listens on 127\.0\.0\.1 alone/);
  });

  it('is loopback when the server listens on loopback alone', () => {
    expect(choose({ bound: { host: '127.0.0.1', port: 1 } })).toEqual({
      host: '127.0.0.1',
      port: 1,
      reason: 'the server listens on loopback alone',
    });
    expect(choose({ bound: { host: '::1', port: 1 } }).host).toBe('::1');
  });

  it('is POD_IP before anything found out', () => {
    expect(choose({ env: { POD_IP: '10.1.1.1' }, etcdLocalAddress: '10.2.2.2' })).toEqual({
      host: '10.1.1.1',
      port: 8080,
      reason: 'environment variable POD_IP',
    });
  });

  it.each(['nonsense', '0.0.0.0', '127.0.0.1', '169.254.0.1', '10.0.0.1:80', '2001:db8::1'])(
    'is not the POD_IP %j, and a warning says so',
    (POD_IP) => {
      const { host, warning } = choose({ env: { POD_IP }, etcdLocalAddress: '10.2.2.2' });
      expect(host).toBe('10.2.2.2');
      expect(warning).toContain(`POD_IP "${POD_IP}" is ignored`);
    },
  );

  it('is an IPv6 POD_IP where the server listens on both families', () => {
    expect(choose({ bound: { host: '::', port: 1 }, env: { POD_IP: '2001:db8::1' } }).host).toBe('2001:db8::1');
  });

  it('is the local address of the connection to etcd', () => {
    expect(choose({ etcdLocalAddress: '10.2.2.2' })).toEqual({
      host: '10.2.2.2',
      port: 8080,
      reason: 'local address of the connection to etcd',
    });
    expect(choose({ bound: { host: '::', port: 1 }, etcdLocalAddress: '::ffff:10.2.2.2' }).host).toBe('10.2.2.2');
    expect(choose({ bound: { host: '::', port: 1 }, etcdLocalAddress: '2001:db8::2' }).host).toBe('2001:db8::2');
  });

  it.each(['2001:db8::2', 'fe80::2%eth0', '169.254.9.9', '127.0.0.1'])(
    'is not the local address %s, which nobody could reach: the first interface is',
    (etcdLocalAddress) => {
      expect(choose({ etcdLocalAddress })).toMatchObject({
        host: '10.0.0.7',
        reason: 'first suitable interface (eth0)',
      });
    },
  );

  it('is loopback when all of etcd is on loopback too, and the reason names the remedy', () => {
    const etcdEndpoints = ['localhost:2379', '127.0.0.1:22379', '[::1]:32379'];
    for (const etcdLocalAddress of ['127.0.0.1', undefined]) {
      const chosen = choose({ etcdEndpoints, ...(etcdLocalAddress ? { etcdLocalAddress } : {}) });
      expect(chosen).toMatchObject({ host: '127.0.0.1', port: 8080 });
      expect(chosen.reason).toMatch(/etcd is on loopback too.*advertise/);
      expect(chosen.warning).toBeUndefined();
    }
  });

  it('is no loopback when one member of etcd is elsewhere', () => {
    const etcdEndpoints = ['localhost:2379', 'etcd2:2379'];
    expect(choose({ etcdEndpoints, etcdLocalAddress: '127.0.0.1' }).host).toBe('10.0.0.7');
  });

  it('prefers networks that other machines share: no link-local, bridges last, IPv4 first', () => {
    const interfaces = {
      lo,
      docker0: [info('172.17.0.1')],
      'br-12': [info('172.18.0.1')],
      eth1: [info('2001:db8::7'), info('fe80::7')],
      eth2: [info('169.254.3.3'), info('192.168.1.5')],
    };
    expect(choose({ interfaces }).host).toBe('192.168.1.5');
    const { eth2: _eth2, ...without } = interfaces;
    expect(choose({ interfaces: without, bound: { host: '::', port: 1 } }).host).toBe('2001:db8::7');
    expect(choose({ interfaces: without }).host).toBe('172.17.0.1');
  });

  it('is loopback with a warning when the machine has nothing else', () => {
    expect(choose({ interfaces: { lo } })).toEqual({
      host: '127.0.0.1',
      port: 8080,
      reason: 'the machine has no other address',
      warning: expect.stringContaining('set `advertise`') as string,
    });
    expect(choose({ interfaces: { lo: [info('::1', true)] }, bound: { host: '::', port: 1 } }).host).toBe('::1');
  });

  it('is never unspecified, whatever is known', () => {
    for (const host of ['0.0.0.0', '::', '[::]', '']) {
      for (const etcdLocalAddress of [undefined, '0.0.0.0', '::', '10.2.2.2']) {
        const chosen = choose({ bound: { host, port: 5 }, ...(etcdLocalAddress ? { etcdLocalAddress } : {}) });
        expect(['10.0.0.7', '10.2.2.2']).toContain(chosen.host);
        expect(chosen.port).toBe(5);
      }
    }
  });
});
