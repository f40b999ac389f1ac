import { formatHostPort, parseHostPort } from './host-port.js';
import { unreachableReason } from './ip-address.js';
import type { EndpointProtocol, InstanceEndpoint } from './service-instance.js';
import { quote } from './text.js';

/** URL scheme of an endpoint in the stored value; Kratos reads `grpc`, `grpcs`, `http` and `https`. */
const schemes: Record<EndpointProtocol, { plain: string; secure: string }> = {
  grpc: { plain: 'grpc', secure: 'grpcs' },
  tcp: { plain: 'tcp', secure: 'tcps' },
  http: { plain: 'http', secure: 'https' },
};

const protocols = new Map<string, { protocol: EndpointProtocol; secure: boolean }>(
  Object.entries(schemes).flatMap(([protocol, { plain, secure }]) => [
    [plain, { protocol: protocol as EndpointProtocol, secure: false }] as const,
    [secure, { protocol: protocol as EndpointProtocol, secure: true }] as const,
  ]),
);

/** What a URL scheme says of an endpoint; undefined for one that nobody here speaks. */
export const endpointScheme = (scheme: string): { protocol: EndpointProtocol; secure: boolean } | undefined =>
  protocols.get(scheme);

/** `grpc://10.0.0.7:50051` */
export const endpointUrl = ({ protocol, secure, host, port }: InstanceEndpoint): string =>
  `${secure ? schemes[protocol].secure : schemes[protocol].plain}://${formatHostPort(host, port)}`;

/**
 * Reads one endpoint URL. `unknown` for a protocol that nobody here speaks (the instance may have others); a string says
 * why a known one cannot be used. Kratos 2 marks TLS as `?isSecure=true`.
 */
export const parseEndpointUrl = (url: string): InstanceEndpoint | 'unknown' | { problem: string } => {
  const match = /^([a-z][a-z0-9+.-]{0,15}):\/\/([^?]*)(?:\?isSecure=(true|false))?$/.exec(url);
  if (!match) return { problem: `endpoint ${quote(url)} is not a URL of scheme and host:port` };
  const [, scheme = '', address = '', isSecure] = match;
  const known = endpointScheme(scheme);
  if (!known) return 'unknown';
  const endpoint = parseEndpointAddress(address, known.protocol, known.secure || isSecure === 'true');
  return typeof endpoint === 'string' ? { problem: endpoint } : endpoint;
};

/** Reads a bare `host:port`. A string says why it cannot be called. */
export const parseEndpointAddress = (
  address: string,
  protocol: EndpointProtocol = 'grpc',
  secure = false,
): InstanceEndpoint | string => {
  const parsed = parseHostPort(address);
  if (!parsed) return `address ${quote(address)} is not host:port`;
  const reason = unreachableReason(parsed.host);
  if (reason !== undefined) return `address ${quote(address)} cannot be called: ${reason}`;
  return Object.freeze({ protocol, host: parsed.host, port: parsed.port, secure });
};

/** The endpoint that `address`, `host` and `port` of an instance speak of: the gRPC one, else the first. */
export const preferredEndpoint = (endpoints: readonly InstanceEndpoint[]): InstanceEndpoint | undefined =>
  endpoints.find((endpoint) => endpoint.protocol === 'grpc') ?? endpoints[0];
