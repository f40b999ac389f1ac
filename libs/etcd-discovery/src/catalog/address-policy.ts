import { BlockList, isIPv6 } from 'node:net';
import { isLoopback, parseHostPort } from '../instance/host-port.js';
import { hostKind, unmapped } from '../instance/ip-address.js';
import type { ResolvedDiscoveryOptions } from '../options/resolved-options.js';
import type { AcceptInstance } from './key-reader.js';

/**
 * The reading side's say in where calls may go: `allowedCidrs`, `allowedPorts`, `allowLoopback`. Whoever can write to
 * etcd can redirect traffic, so an instance with any endpoint outside is left out as a whole, and the log says why.
 *
 * Without `allowLoopback`, loopback addresses are taken only while etcd itself is on loopback: from anywhere else they
 * would lead each client to itself.
 */
export const addressPolicy = (
  options: Pick<ResolvedDiscoveryOptions, 'allowedCidrs' | 'allowedPorts' | 'allowLoopback'>,
  etcdEndpoints: readonly string[],
): AcceptInstance => {
  const { allowedCidrs, allowedPorts } = options;
  const loopback = options.allowLoopback ?? etcdEndpoints.some((text) => isLoopback(parseHostPort(text)?.host ?? ''));
  const networks = allowedCidrs && networksOf(allowedCidrs);

  const objection = (host: string, port: number): string | undefined => {
    if (!loopback && isLoopback(host)) {
      return `${host} is a loopback address and etcd is on another machine; allow it with discovery.allowLoopback: true`;
    }
    if (networks) {
      // A name can lead anywhere: what cannot be checked is not allowed.
      if (hostKind(host) === 'name') return `${host} is a host name, which discovery.allowedCidrs cannot vouch for`;
      const plain = unmapped(host === 'localhost' ? '127.0.0.1' : host);
      if (!networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')) return `${host} is outside discovery.allowedCidrs`;
    }
    if (allowedPorts && !allowedPorts.some(({ from, to }) => port >= from && port <= to)) {
      return `port ${port} is not in discovery.allowedPorts`;
    }
    return undefined;
  };

  return ({ endpoints }) => {
    for (const { host, port } of endpoints) {
      const reason = objection(host, port);
      if (reason !== undefined) return reason;
    }
    return true;
  };
};

const networksOf = (cidrs: readonly string[]): BlockList => {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits = ''] = cidr.split('/');
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4');
  }
  return list;
};
