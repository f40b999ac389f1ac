import { isIP } from 'node:net';
import { parseAdvertise } from '../instance/advertised-address.js';
import { formatHostPort, parseHostPort } from '../instance/host-port.js';
import { isValidName, NAME_GRAMMAR } from '../instance/names.js';
import { byteLength, hasControlCharacters } from '../instance/text.js';
import { MAX_LABEL_BYTES } from '../instance/value-limits.js';
import { MAX_DURATION_MS, readDuration } from './duration.js';
import { field, type FieldResult } from './option-section.js';

/** The single values of the options: each reads what was given, or says what it expected. */

const DURATION_EXAMPLES = "a duration such as '500ms', '5s' or '1m30s' (a plain number is milliseconds)";

/**
 * A duration in milliseconds. Bare numbers below `numbersFromMs` are refused, as whoever writes `ttl: 10` means seconds;
 * the same duration with a unit is accepted.
 */
export const duration = ({ minMs = 0, numbersFromMs = 0 }: { minMs?: number; numbersFromMs?: number } = {}) =>
  field((given): FieldResult<number> => {
    const least = minMs > 0 ? `, at least '${minMs % 1000 === 0 ? `${minMs / 1000}s` : `${minMs}ms`}'` : '';
    const ms = readDuration(given);
    if (typeof given === 'number' && given > 0 && given < numbersFromMs) {
      const asMs = given >= minMs ? ` or '${given}ms'` : '';
      return { expected: `a unit, as a plain number is milliseconds: write '${given}s'${asMs}${least}` };
    }
    if (ms === undefined || ms < minMs) {
      const tooLong = typeof given === 'number' && given > MAX_DURATION_MS ? ', at most 24 days' : '';
      return { expected: `${DURATION_EXAMPLES}${least}${tooLong}` };
    }
    return { value: ms };
  });

export const bool = () =>
  field((given): FieldResult<boolean> =>
    typeof given === 'boolean' ? { value: given } : { expected: 'true or false' },
  );

/** What takes NOT_SERVING: `HealthImplementation` of `grpc-health-check`, or anything with its `setStatus`. */
export const health = () =>
  field((given): FieldResult<{ setStatus(service: string, status: 'NOT_SERVING'): void }> =>
    isHealth(given) ? { value: given } : { expected: 'an object with a setStatus(service, status) method' },
  );

const isHealth = (given: unknown): given is { setStatus(service: string, status: 'NOT_SERVING'): void } =>
  typeof given === 'object' && given !== null && typeof (given as { setStatus?: unknown }).setStatus === 'function';

export const integer = (min: number, max: number) =>
  field((given): FieldResult<number> =>
    Number.isInteger(given) && Number(given) >= min && Number(given) <= max
      ? { value: Number(given) }
      : { expected: `an integer from ${min} to ${max}` },
  );

export const positiveNumber = (max: number) =>
  field((given): FieldResult<number> =>
    typeof given === 'number' && given > 0 && given <= max
      ? { value: given }
      : { expected: `a number above 0, at most ${max}` },
  );

export const oneOf = <T extends string>(...allowed: readonly T[]) =>
  field((given): FieldResult<T> => {
    const found = allowed.find((name) => name === given);
    return found === undefined ? { expected: `one of ${allowed.join(', ')}` } : { value: found };
  });

const aString = (given: unknown, what: string): FieldResult<string> => {
  if (typeof given === 'string') return { value: given };
  const quoted = typeof given === 'number' || typeof given === 'boolean';
  return { expected: quoted ? `${what} as a string: put it in quotes` : what };
};

/** A text without control characters, not empty. */
export const text = (what: string, maxBytes = 4096) =>
  field((given): FieldResult<string> => {
    const result = aString(given, what);
    if ('expected' in result) return result;
    const fits = result.value !== '' && byteLength(result.value) <= maxBytes && !hasControlCharacters(result.value);
    return fits ? result : { expected: `${what} of 1 to ${maxBytes} bytes without control characters` };
  });

/** A short text that may be left empty, which counts as not given: templates of configuration files do that. */
export const label = (what: string) =>
  field((given): FieldResult<string | undefined> => {
    const result = aString(given, what);
    if ('expected' in result) return result;
    if (result.value === '') return { value: undefined };
    return byteLength(result.value) <= MAX_LABEL_BYTES && !hasControlCharacters(result.value)
      ? result
      : { expected: `${what} of at most ${MAX_LABEL_BYTES} bytes without control characters` };
  });

/** User name or password; empty counts as not given. */
export const credential = (what: string, secret: boolean) =>
  field(
    (given): FieldResult<string | undefined> => {
      const result = aString(given, what);
      return 'value' in result && result.value === '' ? { value: undefined } : result;
    },
    { secret },
  );

/** A file name, or the content itself. */
export const pem = (what: string, secret: boolean) =>
  field(
    (given): FieldResult<string | Buffer> => {
      const expected = `the path of a PEM file with ${what}, or a Buffer of its content`;
      if (Buffer.isBuffer(given)) return given.length > 0 ? { value: given } : { expected };
      if (typeof given !== 'string' || given === '') return { expected };
      return given.includes('-----BEGIN')
        ? { expected: `${expected}; a string is taken as a path, so wrap the content in Buffer.from()` }
        : { value: given };
    },
    { secret },
  );

export const name = (kind: string) =>
  field((given): FieldResult<string> =>
    isValidName(given) ? { value: given } : { expected: `${kind}: ${NAME_GRAMMAR}` },
  );

/** For the keys of maps by service. */
export const serviceKeyProblem = (key: string): string | undefined =>
  isValidName(key) ? undefined : `is not a service name: expected ${NAME_GRAMMAR}`;

/** `host:port` to listen on; port 0 stands for whichever is free. */
export const listenAddress = () =>
  field((given): FieldResult<string> => {
    const expected = "'host:port' to listen on, for example '0.0.0.0:8080' (IPv6 in brackets, port 0 for any free one)";
    const parsed = typeof given === 'string' ? parseHostPort(given, { allowPortZero: true }) : undefined;
    return parsed ? { value: formatHostPort(parsed.host, parsed.port) } : { expected };
  });

/** `host:port` to call. */
export const callAddress = () =>
  field((given): FieldResult<string> => {
    const parsed = typeof given === 'string' ? parseHostPort(given) : undefined;
    return parsed
      ? { value: formatHostPort(parsed.host, parsed.port) }
      : { expected: "'host:port' (IPv6 in brackets, port 1 to 65535)" };
  });

export const advertise = () =>
  field((given): FieldResult<string | undefined> => {
    const expected = "'host' or 'host:port' that other machines can connect to";
    if (given === '') return { value: undefined };
    if (typeof given !== 'string') return { expected };
    const parsed = parseAdvertise(given);
    return typeof parsed === 'string' ? { expected: `${expected}, but ${parsed}` } : { value: given };
  });

/** `services` → `/services`; a trailing slash is dropped. */
export const namespace = () =>
  field((given): FieldResult<string> => {
    const expected =
      "a key prefix such as '/services' or '/prod/services': segments of letters, digits, '.', '_' and '-', none empty";
    if (typeof given !== 'string' || given.length > 256) return { expected };
    const segments = given.replace(/^\//, '').replace(/\/$/, '').split('/');
    const valid = segments.every((segment) => /^[A-Za-z0-9._-]+$/.test(segment) && !/^\.+$/.test(segment));
    return valid ? { value: `/${segments.join('/')}` } : { expected };
  });

/** `Service/Method` or `Service/*`, with or without the package of the service. */
export const method = () =>
  field((given): FieldResult<string> =>
    typeof given === 'string' && /^[A-Za-z_][A-Za-z0-9_.]*\/(\*|[A-Za-z_][A-Za-z0-9_]*)$/.test(given)
      ? { value: given }
      : { expected: "'Service/Method' or 'Service/*', for example 'NotificationService/Get'" },
  );

export const cidr = () =>
  field((given): FieldResult<string> => {
    const expected = "a network such as '10.0.0.0/8' or 'fd00::/8' (a single address: '10.0.0.7/32')";
    const [, address = '', bits = ''] = (typeof given === 'string' && /^([^/%]+)\/(\d{1,3})$/.exec(given)) || [];
    const family = isIP(address);
    return family !== 0 && Number(bits) <= (family === 4 ? 32 : 128) ? { value: String(given) } : { expected };
  });

/** A port, or an inclusive range of ports. */
export const portRange = () =>
  field((given): FieldResult<{ from: number; to: number }> => {
    const expected = "a port (8080) or a range of ports ('50000-50100'), 1 to 65535";
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(
      typeof given === 'number' ? String(given) : typeof given === 'string' ? given : '',
    );
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    return from >= 1 && to <= 65_535 && from <= to ? { value: { from, to } } : { expected };
  });

/** Key or prefix of another stack. */
export const foreignKey = (what: string) => text(what, 512);
