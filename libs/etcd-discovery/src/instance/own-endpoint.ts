import { endpointScheme, parseEndpointUrl } from './instance-endpoint.js';
import type { InstanceEndpoint } from './service-instance.js';

const SEPARATOR = '://';
const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;
const COLON = 0x3a;

/**
 * The endpoint of a URL that can be called; undefined for any other. Reads `scheme://a.b.c.d:port` of ordinary addresses
 * without a regular expression, which is what nearly all values hold, and leaves the rest to `parseEndpointUrl`.
 */
export const parseOwnEndpoint = (url: string): InstanceEndpoint | undefined => {
  const at = url.indexOf(SEPARATOR);
  const known = at > 0 ? endpointScheme(url.slice(0, at)) : undefined;
  const from = at + SEPARATOR.length;
  const colon = known ? colonAfterIPv4(url, from) : -1;
  const port = colon > 0 ? portAt(url, colon + 1) : 0;
  if (known && port > 0) {
    return Object.freeze({ protocol: known.protocol, host: url.slice(from, colon), port, secure: known.secure });
  }
  const endpoint = parseEndpointUrl(url);
  return endpoint === 'unknown' || 'problem' in endpoint ? undefined : endpoint;
};

/**
 * Where the IPv4 address that begins at `from` ends in a colon; -1 where there is none. Addresses of the blocks in which
 * some lead nowhere (0, 169, 224 and up) are left to those who tell them apart.
 */
const colonAfterIPv4 = (text: string, from: number): number => {
  let at = from;
  for (let part = 0; part < 4; part++) {
    const start = at;
    let value = 0;
    for (let code = text.charCodeAt(at); code >= ZERO && code <= NINE && at - start < 3; code = text.charCodeAt(++at)) {
      value = value * 10 + code - ZERO;
    }
    if (at === start || value > 255 || (at - start > 1 && text.charCodeAt(start) === ZERO)) return -1;
    if (part === 0 && (value === 0 || value === 169 || value >= 224)) return -1;
    if (text.charCodeAt(at) !== (part < 3 ? DOT : COLON)) return -1;
    at++;
  }
  return at - 1;
};

/** The port that is all of the rest of the text; 0 for anything but 1–65535 without leading zeros. */
const portAt = (text: string, from: number): number => {
  if (text.charCodeAt(from) === ZERO || text.length - from > 5 || text.length === from) return 0;
  let port = 0;
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return 0;
    port = port * 10 + code - ZERO;
  }
  return port <= 65_535 ? port : 0;
};
