import { connect } from 'node:net';

/** What the channels of this process say of an address; the best of them where there are several. */
export type ChannelState = 'idle' | 'connecting' | 'ready' | 'failed';

/** How the catalog learns of connections, without knowing who makes them. */
export interface ConnectionCheck {
  /** Undefined where no channel of this process connects to the address for this service. */
  stateOf(service: string, address: string): ChannelState | undefined;
  /**
   * Calls `listener` whenever a channel's state of an address changes, and again with each further attempt that fails.
   * May be called from within anything that a new list sets off. The returned function ends it.
   */
  onChange(listener: (service: string, address: string) => void): () => void;
}

/** For a process that has no channels. */
export const noConnections: ConnectionCheck = { stateOf: () => undefined, onChange: () => () => {} };

/** Whether somebody accepts connections at an address. Never rejects; ends early, with any answer, when `signal` aborts. */
export type Probe = (host: string, port: number, signal: AbortSignal) => Promise<boolean>;

/** One that accepts later than this would be of no use to calls. */
const PROBE_TIMEOUT_MS = 1_000;

/** These say that this process could not ask, not that nobody is there. */
const OWN_TROUBLE = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EACCES', 'EPERM', 'EAI_AGAIN']);

/** Opens a TCP connection and closes it again; one that is not accepted within 1 s counts as refused. */
export const tcpProbe: Probe = (host, port, signal) =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (accepted: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(accepted);
    };
    const onAbort = () => finish(true);
    // After a blocked event loop the timer is served before the socket: one more round lets its answer in.
    const timer = setTimeout(() => setImmediate(() => finish(false)), PROBE_TIMEOUT_MS);
    timer.unref();
    socket.unref();
    socket.once('connect', () => finish(true));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => finish(OWN_TROUBLE.has(code ?? '')));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
