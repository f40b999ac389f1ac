import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { isIPv4, isIPv6 } from 'node:net';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { isLoopback, isUnspecified, parseHostOptionalPort, parseHostPort } from './host-port.js';
import { hostKind, unmapped, unreachableReason } from './ip-address.js';
import { quote } from './text.js';

export interface AdvertiseInput {
  /** What the server is bound to; the host may be `0.0.0.0` or `::`, the port is the real one. */
  readonly bound: { readonly host: string; readonly port: number };
  /** Option `advertise`: `host` or `host:port`. */
  readonly advertise?: string;
  /** `POD_IP` is read. */
  readonly env: NodeJS.ProcessEnv;
  /** `host:port` each; tell whether etcd is on this machine. */
  readonly etcdEndpoints: readonly string[];
  /** The local address of a connection to etcd; absent while none can be opened. */
  readonly etcdLocalAddress?: string;
  /** Default `os.networkInterfaces()`. */
  readonly interfaces?: NodeJS.Dict<NetworkInterfaceInfo[]>;
}

export interface AdvertisedAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Why this one, for one log line. */
  readonly reason: string;
  /** What an operator should look at. */
  readonly warning?: string;
}

/**
 * The address that others are told to connect to, never one that only this process can use unless nothing else is true:
 *
 * 1. `advertise`, word for word; without a port the bound one.
 * 2. The bound address, where the server listens on a single one (loopback included: then nobody else can reach it).
 * 3. `POD_IP`.
 * 4. The local address of the connection to etcd: the network through which the registry is reached is the one that other
 *    services share. Loopback only if every etcd endpoint is on loopback.
 * 5. The first suitable interface: not loopback or link-local, container bridges last, IPv4 first.
 * 6. Loopback, with a warning, when the machine has nothing else.
 *
 * An address of a family that the server does not listen on is never chosen.
 *
 * @throws InvalidOptionsError for an `advertise` that is not `host` or `host:port`, or leads nowhere
 */
export const chooseAdvertisedAddress = (input: AdvertiseInput): AdvertisedAddress => {
  const { port } = input.bound;
  const boundHost = unmapped(input.bound.host.replace(/^\[|\]$/g, ''));
  if (input.advertise !== undefined && input.advertise !== '') return advertised(input.advertise, port);

  const podIp = podIpOf(input.env, boundHost);
  if (!isUnspecified(boundHost)) return boundAddress(boundHost, port, podIp.host);

  const warning = podIp.problem === undefined ? {} : { warning: podIp.problem };
  if (podIp.host !== undefined) return { host: podIp.host, port, reason: 'environment variable POD_IP' };

  const local = etcdSide(input, boundHost);
  if (local) return { ...local, port, ...warning };

  const found = firstInterface(input.interfaces ?? networkInterfaces(), boundHost);
  if (found) return { host: found.host, port, reason: `first suitable interface (${found.name})`, ...warning };

  return {
    host: boundHost === '::' && !hasIPv4Loopback(input) ? '::1' : '127.0.0.1',
    port,
    reason: 'the machine has no other address',
    warning: 'only loopback can be advertised, so no other machine can reach this instance: set `advertise`',
  };
};

/** Reads the option `advertise`; a string says what is wrong with it. */
export const parseAdvertise = (advertise: string): { host: string; port?: number } | string => {
  const parsed = parseHostOptionalPort(advertise);
  if (!parsed) return 'it is not host or host:port (IPv6 in brackets where a port follows)';
  return unreachableReason(parsed.host) ?? parsed;
};

const advertised = (advertise: string, boundPort: number): AdvertisedAddress => {
  const parsed = parseAdvertise(advertise);
  if (typeof parsed === 'string') {
    throw new InvalidOptionsError(`advertise ${quote(advertise)} cannot be used: ${parsed}`);
  }
  return { host: parsed.host, port: parsed.port ?? boundPort, reason: 'option advertise' };
};

const boundAddress = (host: string, port: number, podIp: string | undefined): AdvertisedAddress => {
  const reason = isLoopback(host) ? 'the server listens on loopback alone' : 'the server listens on this address alone';
  if (podIp === undefined || podIp === host) return { host, port, reason };
  const warning = `POD_IP is ${podIp}, but the server listens on ${host} alone: listen on 0.0.0.0 to be reachable there`;
  return { host, port, reason, warning };
};

const podIpOf = (env: NodeJS.ProcessEnv, boundHost: string): { host?: string; problem?: string } => {
  const given = env.POD_IP?.trim();
  if (given === undefined || given === '') return {};
  const host = unmapped(given);
  const isIp = isIPv4(host) || (isIPv6(host) && !host.includes('%'));
  const flaw = !isIp
    ? 'it is not an IP address'
    : (unreachableReason(host) ??
      (isLoopback(host)
        ? 'it is loopback'
        : listensOn(boundHost, host)
          ? undefined
          : `the server listens on ${boundHost}`));
  return flaw === undefined ? { host } : { problem: `POD_IP ${quote(given)} is ignored: ${flaw}` };
};

/** The side of this machine that etcd is on. */
const etcdSide = (input: AdvertiseInput, boundHost: string): { host: string; reason: string } | undefined => {
  const hosts = input.etcdEndpoints.map((endpoint) => parseHostPort(endpoint)?.host ?? endpoint);
  const etcdOnLoopback = hosts.length > 0 && hosts.every(isLoopback);
  const local = input.etcdLocalAddress === undefined ? undefined : unmapped(input.etcdLocalAddress);
  if (etcdOnLoopback && (local === undefined || isLoopback(local))) {
    const host = boundHost === '::' && local === '::1' ? '::1' : '127.0.0.1';
    return { host, reason: 'etcd is on loopback too; set `advertise` for callers on other machines' };
  }
  if (local === undefined || hostKind(local) !== 'unicast' || !listensOn(boundHost, local)) return undefined;
  return { host: local, reason: 'local address of the connection to etcd' };
};

// Networks between containers of one machine; other machines do not see them.
const BRIDGE = /^(docker|br-|veth|virbr|cni|flannel|cali|lxc|lxd|podman|vmnet|vboxnet)/;

const firstInterface = (
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
  boundHost: string,
): { host: string; name: string } | undefined =>
  Object.entries(interfaces)
    .flatMap(([name, addresses]) =>
      (addresses ?? []).map((info) => ({ name, host: info.address, internal: info.internal })),
    )
    .filter(({ host, internal }) => !internal && hostKind(host) === 'unicast' && listensOn(boundHost, host))
    .map((candidate) => ({
      ...candidate,
      rank: (BRIDGE.test(candidate.name) ? 2 : 0) + (isIPv4(candidate.host) ? 0 : 1),
    }))
    .toSorted((a, b) => a.rank - b.rank)[0];

/** `::` listens on both families (Node's default), `0.0.0.0` on IPv4 alone. */
const listensOn = (boundHost: string, host: string): boolean => !isIPv4(boundHost) || isIPv4(host);

const hasIPv4Loopback = ({ interfaces = networkInterfaces() }: AdvertiseInput): boolean =>
  Object.values(interfaces).some((list) => list?.some(({ address }) => isIPv4(address) && isLoopback(address)));
