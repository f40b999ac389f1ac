import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostKind, ipBytes, unmapped, unreachableReason } from './ip-address.js';

describe('IP addresses', () => {
  it.each([
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['::', 'unspecified'],
    ['127.0.0.1', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['ff02::1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['10.0.0.7', 'unicast'],
    ['169.253.0.1', 'unicast'],
    ['240.0.0.1', 'unicast'],
    ['fec0::1', 'unicast'],
    ['2001:db8::7', 'unicast'],
    ['fd00::1', 'unicast'],
    ['users', 'name'],
    ['localhost', 'loopback'],
    ['fe80::1%eth0', 'name'],
  ] as const)('%s is %s', (host, kind) => expect(hostKind(host)).toBe(kind));

  it('says why an address leads nowhere, and nothing of one that does not', () => {
    expect(unreachableReason('0.0.0.0')).toContain('every address of this machine');
    expect(unreachableReason('169.254.1.1')).toContain('link-local');
    expect(unreachableReason('ff02::1')).toContain('multicast');
    expect(unreachableReason('10.0.0.7')).toBeUndefined();
    expect(unreachableReason('127.0.0.1')).toBeUndefined();
    expect(unreachableReason('users')).toBeUndefined();
  });

  it('has the bytes that were written, however IPv6 is abbreviated', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((all) => (all[0] ?? 0) > 0x10);
    fc.assert(
      fc.property(bytes, (all) => {
        const full = Array.from({ length: 8 }, (_, i) =>
          (((all[2 * i] ?? 0) << 8) | (all[2 * i + 1] ?? 0)).toString(16),
        );
        expect(ipBytes(full.join(':'))).toEqual(all);
        // The URL parser abbreviates as RFC 5952 does.
        const short = new URL(`http://[${full.join(':')}]`).hostname.slice(1, -1);
        expect(ipBytes(short)).toEqual(all);
      }),
    );
  });

  it('in IPv6 clothes is shown as the IPv4 address it stands for', () => {
    expect(unmapped('::ffff:10.0.0.7')).toBe('10.0.0.7');
    expect(unmapped('10.0.0.7')).toBe('10.0.0.7');
    expect(unmapped('2001:db8::7')).toBe('2001:db8::7');
    expect(unmapped('users')).toBe('users');
  });
});
