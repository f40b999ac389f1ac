import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { ChannelCredentials } from '@grpc/grpc-js';

/** The part of grpc-js's credentials that every attempt to connect goes through (1.12 to 1.14). */
interface ConnectorSource {
  _createSecureConnector?: (...args: unknown[]) => Connector;
}

interface Connector {
  waitForReady(): Promise<void>;
  connect(socket: Socket): Promise<unknown>;
}

/** Node tells here of every TCP socket that is about to connect. */
const CLIENT_SOCKET = 'net.client.socket';
const GRPC_TRANSPORT = /@grpc[\\/]grpc-js[\\/].*transport\.[jt]s/;

/**
 * The sockets of one channel, so that closing the channel closes them whatever the other side does. grpc-js ends a
 * connection politely and waits for the peer's answer, which a frozen etcd never gives; it forgets one whose dial is
 * still under way, which then keeps the process for as long as the system tries; and a subchannel that failed goes back
 * to connecting after its backoff although its channel was closed meanwhile. It offers no switch for any of that; where
 * its insides differ from those of 1.12 to 1.14, they remain.
 */
export class ChannelDials {
  private readonly sockets = new Set<Socket>();
  /** Not connected yet, as far as is known. */
  private readonly dialling = new Set<Socket>();
  private givenUp = false;

  /** Returns the same credentials, which from now on tell of every connection made with them. */
  follow(credentials: ChannelCredentials): ChannelCredentials {
    const source = credentials as unknown as ConnectorSource;
    const create = source._createSecureConnector?.bind(credentials);
    if (!create) return credentials;
    source._createSecureConnector = (...args) => {
      const connector = create(...args);
      const [ready, connect] = [connector.waitForReady.bind(connector), connector.connect.bind(connector)];
      connector.waitForReady = () => {
        if (this.givenUp) return Promise.reject(new Error('the connection was given up'));
        watchNextDial((socket) => this.dials(socket));
        return ready();
      };
      connector.connect = (socket) => {
        this.keep(socket);
        if (!this.givenUp) return connect(socket);
        socket.destroy();
        return Promise.reject(new Error('the connection was given up'));
      };
      return connector;
    };
    return credentials;
  }

  /** Ends every connection, and every one that is still being made; none is made any more. */
  giveUp(): void {
    this.givenUp = true;
    for (const socket of this.dialling) {
      if (socket.connecting) socket.destroy();
    }
    this.dialling.clear();
    // What was written in this turn (GOAWAY, the cancelling of calls) still leaves.
    setImmediate(() => {
      for (const socket of this.sockets) socket.destroy();
    });
  }

  private dials(socket: Socket): void {
    // It connects after this call, whatever is done to it within.
    if (this.givenUp) return process.nextTick(() => socket.destroy());
    // Without a listener at each: others may be given the same socket.
    for (const earlier of this.dialling) if (!earlier.connecting) this.dialling.delete(earlier);
    this.dialling.add(socket);
  }

  private keep(socket: Socket): void {
    this.dialling.delete(socket);
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }
}

/** Channels whose dial follows in this turn, in order. */
const aboutToDial: ((socket: Socket) => void)[] = [];
let listening = false;

const assign = (message: unknown): void => {
  // A dial of another gRPC channel in the same turn shifts the order: at worst that one is ended, and dials again.
  if (calledFromTransport()) aboutToDial.shift()?.((message as { socket: Socket }).socket);
};

/**
 * Looks at the call sites themselves: writing them out as text costs as much as the dial, and four times that where
 * stacks are mapped to their sources (`--enable-source-maps`), just when after an outage everybody dials.
 */
const calledFromTransport = (): boolean => {
  const theirs = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  let found = false;
  try {
    Error.prepareStackTrace = (_, sites) => {
      found = sites.some((site) => GRPC_TRANSPORT.test(site.getFileName() ?? ''));
      return '';
    };
  } catch {
    // `--frozen-intrinsics`
    return GRPC_TRANSPORT.test(new Error('where from').stack ?? '');
  }
  // Reading it is what has it prepared.
  void new Error('where from').stack;
  if (theirs) Object.defineProperty(Error, 'prepareStackTrace', theirs);
  else Reflect.deleteProperty(Error, 'prepareStackTrace');
  return found;
};

/** grpc-js dials in the turn in which the connector is ready, and shows the socket only when it is connected. */
const watchNextDial = (found: (socket: Socket) => void): void => {
  aboutToDial.push(found);
  // Not by their number: the first of this turn may have dialled, and a second subscription would tell of each socket twice.
  if (listening) return;
  listening = true;
  subscribe(CLIENT_SOCKET, assign);
  setImmediate(() => {
    listening = false;
    unsubscribe(CLIENT_SOCKET, assign);
    aboutToDial.length = 0;
  });
};
