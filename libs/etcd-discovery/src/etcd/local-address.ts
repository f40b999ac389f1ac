import { connect } from 'node:net';

/**
 * The local address that connections to the first reachable of `endpoints` leave from; undefined if none can be
 * reached. Tries them in order, `timeoutMs` in all.
 */
export const localAddressTowards = async (
  endpoints: readonly string[],
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<string | undefined> => {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  for (const endpoint of endpoints) {
    if (bound.aborted) return undefined;
    const address = await localAddressOf(endpoint, bound);
    if (address !== undefined) return address;
  }
  return undefined;
};

const localAddressOf = (endpoint: string, signal: AbortSignal): Promise<string | undefined> =>
  new Promise((resolve) => {
    const colon = endpoint.lastIndexOf(':');
    const host = endpoint.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    const socket = connect({ host, port: Number(endpoint.slice(colon + 1)) });
    const done = (address?: string) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      resolve(address);
    };
    const abort = () => done();
    signal.addEventListener('abort', abort, { once: true });
    // An IPv4 address on a dual-stack socket is written ::ffff:10.0.0.7.
    socket.once('connect', () => done(socket.localAddress?.replace(/^::ffff:(?=\d+\.)/i, '')));
    socket.once('error', () => done());
  });
