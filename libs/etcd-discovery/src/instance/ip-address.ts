import { isIPv4, isIPv6 } from 'node:net';

/**
 * What kind of address a host is. `name` is anything that is not an IP address. IPv4 in IPv6 clothes (`::ffff:…`, NAT64)
 * is judged as the IPv4 address it stands for.
 */
export type HostKind = 'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'broadcast' | 'unicast' | 'name';

/**
 * The bytes of an IP address: 4, or 16 for IPv6. Mapped IPv4 (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`) come out as
 * their 4 bytes. Undefined for anything else, zone ids (`%eth0`) included.
 */
export const ipBytes = (host: string): Uint8Array | undefined => {
  if (isIPv4(host)) return ipv4Bytes(host);
  if (!isIPv6(host) || host.includes('%')) return undefined;
  const bytes = ipv6Bytes(host);
  const embedded = EMBEDDED_IPV4.some((prefix) => prefix.every((byte, index) => bytes[index] === byte));
  return embedded ? bytes.slice(12) : bytes;
};

/** The caller has checked that `host` is IPv4. Without `split`, because every instance of every list passes here. */
const ipv4Bytes = (host: string): Uint8Array => {
  const bytes = new Uint8Array(4);
  let part = 0;
  for (let at = 0; at < host.length; at++) {
    const code = host.charCodeAt(at);
    if (code === DOT) part++;
    else bytes[part] = bytes[part]! * 10 + code - ZERO;
  }
  return bytes;
};

const DOT = 0x2e;
const ZERO = 0x30;

const EMBEDDED_IPV4 = [
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
  [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0],
];

/** The caller has checked that `host` is IPv6. */
const ipv6Bytes = (host: string): Uint8Array => {
  const [head = '', tail] = host.split('::');
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  return Uint8Array.from([...front, ...Array<number>(16 - front.length - back.length).fill(0), ...back]);
};

const groups = (text: string): number[] =>
  text === ''
    ? []
    : text.split(':').flatMap((group) => {
        if (group.includes('.')) return group.split('.').map(Number);
        const value = Number.parseInt(group, 16);
        return [value >> 8, value & 0xff];
      });

/** IPv4 for an IPv4 address in IPv6 clothes, else the host unchanged: sockets report `::ffff:10.0.0.7` for 10.0.0.7. */
export const unmapped = (host: string): string => {
  const bytes = ipBytes(host);
  return bytes?.length === 4 ? bytes.join('.') : host;
};

/** @param host without brackets */
export const hostKind = (host: string): HostKind => {
  const bytes = ipBytes(host);
  if (bytes === undefined) {
    // RFC 6761: every name under `localhost` is loopback.
    return /(^|\.)localhost$/i.test(host) ? 'loopback' : 'name';
  }
  return bytes.length === 4 ? ipv4Kind(bytes) : ipv6Kind(bytes);
};

const ipv4Kind = ([a = 0, b = 0, c = 0, d = 0]: Uint8Array): HostKind => {
  // 0.0.0.0/8 is "this network" (RFC 1122); Linux connects 0.0.0.0 to itself.
  if (a === 0) return 'unspecified';
  if (a === 127) return 'loopback';
  if (a === 169 && b === 254) return 'link-local';
  if (a >= 224 && a <= 239) return 'multicast';
  return a === 255 && b === 255 && c === 255 && d === 255 ? 'broadcast' : 'unicast';
};

const ipv6Kind = (bytes: Uint8Array): HostKind => {
  const [a = 0, b = 0] = bytes;
  if (bytes.subarray(0, 15).every((byte) => byte === 0)) {
    if (bytes[15] === 0) return 'unspecified';
    if (bytes[15] === 1) return 'loopback';
  }
  if (a === 0xff) return 'multicast';
  return a === 0xfe && (b & 0xc0) === 0x80 ? 'link-local' : 'unicast';
};

/**
 * Why nobody can be sent to this host, or undefined when somebody may. Loopback is not judged here: it is right when
 * everything is on one machine.
 */
export const unreachableReason = (host: string): string | undefined => reasons[hostKind(host)];

const reasons: Partial<Record<HostKind, string>> = {
  unspecified: 'it means "every address of this machine" and leads nowhere from another one',
  multicast: 'it is a multicast address',
  'link-local': 'it is a link-local address, which is valid on one network segment only',
  broadcast: 'it is the broadcast address',
};
