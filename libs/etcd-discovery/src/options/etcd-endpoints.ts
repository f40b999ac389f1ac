import { formatHostPort, parseHostPort } from '../instance/host-port.js';

/** One endpoint of etcd as it was given. */
export interface GivenEndpoint {
  readonly given: string;
  /** Undefined without a scheme. */
  readonly scheme?: 'http' | 'https';
  /** `host:port`; undefined for one that cannot be read. */
  readonly address?: string;
}

export const ENDPOINT_EXPECTED =
  "'host:port' or 'http(s)://host:port', for example 'localhost:2379' (several: a list, or separated by commas)";

/** Splits comma-separated strings and reads each endpoint. Undefined for anything but a string or a list. */
export const readEndpoints = (given: unknown): readonly GivenEndpoint[] | undefined => {
  if (typeof given === 'string') return given.split(',').map((entry) => readEndpoint(entry.trim()));
  if (!Array.isArray(given)) return undefined;
  return given.flatMap((entry: unknown) =>
    typeof entry === 'string'
      ? entry.split(',').map((part) => readEndpoint(part.trim()))
      : [{ given: typeof entry === 'number' ? String(entry) : '' }],
  );
};

const readEndpoint = (given: string): GivenEndpoint => {
  const match = /^(?:(https?):\/\/([^/]*)\/?|([^/]*))$/.exec(given);
  const scheme = match?.[1];
  const parsed = parseHostPort(match?.[2] ?? match?.[3] ?? '');
  return {
    given,
    ...(scheme === 'http' || scheme === 'https' ? { scheme } : {}),
    ...(parsed ? { address: formatHostPort(parsed.host, parsed.port) } : {}),
  };
};
