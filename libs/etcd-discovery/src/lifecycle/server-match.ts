import type { ResolvedRegistration } from '../options/resolved-options.js';
import type { TrackedServer } from './tracked-server.js';

export type ServerMatch =
  | { readonly server: TrackedServer; readonly warning?: string }
  /** No bound server fits (yet). */
  | undefined;

const portOf = (addr: string | undefined): number | undefined => {
  const port = addr === undefined ? undefined : Number(addr.slice(addr.lastIndexOf(':') + 1));
  return port === undefined || Number.isNaN(port) || port === 0 ? undefined : port;
};

/**
 * The server a registration belongs to: the one of its transport; of several, the one bound to `addr`'s port. What is
 * bound is what gets published; a different `addr` is worth a warning, not a failure.
 */
export const matchServer = (
  registration: Pick<ResolvedRegistration, 'name' | 'addr' | 'transport'>,
  servers: readonly TrackedServer[],
): ServerMatch => {
  const ofTransport = servers.filter((server) => server.transport === registration.transport);
  const wanted = portOf(registration.addr);
  const exact = ofTransport.find((server) => server.served && server.served.port === wanted);
  if (exact) return { server: exact };
  const [only] = ofTransport;
  if (ofTransport.length !== 1 || !only?.served) return undefined;
  if (wanted === undefined) return { server: only };
  return {
    server: only,
    warning:
      `registration "${registration.name}" has addr ${JSON.stringify(registration.addr)}, but its ${registration.transport} ` +
      `server is bound to port ${only.served.port}: ${only.served.port} is published`,
  };
};

/** For the error about a registration whose server never came. */
export const describeServers = (servers: readonly TrackedServer[]): string =>
  servers.length === 0
    ? 'the application has no microservice or HTTP server'
    : `the application has ${servers
        .map(({ transport, served }) => `${transport} ${served ? `on port ${served.port}` : '(not bound)'}`)
        .join(', ')}`;
