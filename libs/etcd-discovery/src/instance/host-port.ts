import { isIPv6 } from 'node:net';
import { hostKind, ipBytes } from './ip-address.js';

/** A host (IPv6 without brackets) and a port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

// One label of a host name: RFC 1123, and the underscore that container networks use.
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const PORT = /^(0|[1-9][0-9]{0,4})$/;

/**
 * Reads `host:port` and nothing else: no scheme, path, user, whitespace or zone id, no number that a resolver would take
 * for an IPv4 address (`2130706433`, `0x7f.1`, `010.0.0.1`); IPv6 in brackets; port 1–65535, and 0 only with
 * `allowPortZero`. Undefined for anything else.
 */
export const parseHostPort = (text: string, options: { allowPortZero?: boolean } = {}): HostPort | undefined => {
  const colon = text.lastIndexOf(':');
  if (colon < 0) return undefined;
  const host = parseAuthorityHost(text.slice(0, colon));
  const port = parsePort(text.slice(colon + 1));
  if (host === undefined || port === undefined || (port === 0 && !options.allowPortZero)) return undefined;
  return { host, port };
};

/**
 * Reads `host` or `host:port`, as `advertise` has it. An IPv6 address without a port may come with or without brackets.
 */
export const parseHostOptionalPort = (text: string): { host: string; port?: number } | undefined => {
  if (isPlainIPv6(text)) return { host: text };
  const host = parseAuthorityHost(text);
  return host === undefined ? parseHostPort(text) : { host };
};

/** `host:port`, an IPv6 host in brackets. */
export const formatHostPort = (host: string, port: number): string =>
  isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;

/** 127.0.0.0/8, ::1 and `localhost`; brackets are ignored. */
export const isLoopback = (host: string): boolean => hostKind(withoutBrackets(host)) === 'loopback';

/** 0.0.0.0, :: and the empty host, which mean "every address of this machine"; brackets are ignored. */
export const isUnspecified = (host: string): boolean =>
  host === '' || hostKind(withoutBrackets(host)) === 'unspecified';

const withoutBrackets = (host: string): string =>
  host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;

const parseAuthorityHost = (text: string): string | undefined => {
  if (text.startsWith('[')) {
    const host = withoutBrackets(text);
    return isPlainIPv6(host) ? host : undefined;
  }
  return isHostName(text) || (ipBytes(text)?.length === 4 && !text.includes(':')) ? text : undefined;
};

const isPlainIPv6 = (host: string): boolean => isIPv6(host) && !host.includes('%');

const isHostName = (text: string): boolean => {
  if (text.length > 253) return false;
  const labels = text.split('.');
  const last = labels.at(-1) ?? '';
  // WHATWG URL, "ends in a number": such a host is an IPv4 address in disguise, or nothing.
  return labels.every((label) => LABEL.test(label)) && !/^([0-9]+|0x[0-9a-f]*)$/i.test(last);
};

const parsePort = (text: string): number | undefined => {
  if (!PORT.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
};
