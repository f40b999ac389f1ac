import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { runInThisContext } from 'node:vm';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedEtcd } from '../testing/index.js';
import { systemClock } from '../utils/clock.js';
import { Etcd3Connection } from './etcd3-connection.js';
import { ChannelDials } from './etcd3-dials.js';

describe('connections that are dialled in the same turn', () => {
  let etcd: EmbeddedEtcd;
  let connections: Etcd3Connection[];
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => void warnings.push(name);

  beforeEach(async () => {
    etcd = await EmbeddedEtcd.start();
    process.on('warning', onWarning);
    connections = Array.from(
      { length: 24 },
      () => new Etcd3Connection({ endpoint: etcd.endpoint, dialTimeoutMs: 5_000, etcd: {}, clock: systemClock }),
    );
  });

  afterEach(async () => {
    for (const connection of connections) connection.close('the test is over');
    process.off('warning', onWarning);
    await etcd.close();
  });

  it('belong to one channel each: closing some leaves the dials of the others alone', async () => {
    let sockets = 0;
    let allDialled!: () => void;
    const dialled = new Promise<void>((resolve) => (allDialled = resolve));
    const count = () => {
      // The embedded etcd relays, and dials, too.
      if (!new Error('where from').stack?.includes('grpc-js')) return;
      if (++sockets === connections.length) allDialled();
    };
    subscribe('net.client.socket', count);
    const opened = connections.map((connection) => connection.open());
    await dialled;
    const closed = connections.filter((_, i) => i % 2 === 0);
    for (const connection of closed) connection.close('no longer wanted');
    await Promise.allSettled(opened);
    const kept = connections.filter((connection) => !closed.includes(connection));
    const answers = kept.map((connection) =>
      connection.unary((driver, call) => driver.kv.range({ key: Buffer.from([0]) }, call), {
        operation: 'range',
        timeoutMs: 5_000,
      }),
    );
    await expect(Promise.all(answers)).resolves.toHaveLength(kept.length);
    unsubscribe('net.client.socket', count);
    // None was dialled twice.
    expect(sockets).toBe(connections.length);
    expect(warnings).toEqual([]);
  });

  it('do not have a stack written out for each, which costs more than the dial, and leave how that is done alone', async () => {
    const { prepareStackTrace } = Error;
    let written = 0;
    const theirs: typeof Error.prepareStackTrace = (error) => {
      if (error.message === 'where from') written++;
      return String(error);
    };
    Error.prepareStackTrace = theirs;
    try {
      await Promise.all(connections.map((connection) => connection.open()));
      expect(Error.prepareStackTrace).toBe(theirs);
    } finally {
      Error.prepareStackTrace = prepareStackTrace;
    }
    expect(written).toBe(0);
  });
});

describe('a channel that dials after another has dialled in the same turn', () => {
  /** As grpc-js does, from where it does. */
  const dialsFrom = runInThisContext('(tell) => tell()', {
    filename: '/node_modules/@grpc/grpc-js/build/src/transport.js',
  }) as (tell: () => void) => void;

  const dialler = () => {
    const dials = new ChannelDials();
    const connector = { waitForReady: () => Promise.resolve(), connect: () => Promise.resolve() };
    const credentials = { _createSecureConnector: () => connector };
    dials.follow(credentials as unknown as ChannelCredentials);
    credentials._createSecureConnector();
    const socket = { connecting: true, destroyed: false, destroy: () => void (socket.destroyed = true) };
    return {
      dials,
      socket,
      ready: () => connector.waitForReady(),
      dial: () => dialsFrom(() => channel('net.client.socket').publish({ socket: socket as unknown as Socket })),
    };
  };

  it('is given its own socket, and no other', () => {
    const [first, second, third] = [dialler(), dialler(), dialler()];
    void first.ready();
    first.dial();
    void second.ready();
    void third.ready();
    second.dial();
    third.dial();
    third.dials.giveUp();
    expect([first, second, third].map(({ socket }) => socket.destroyed)).toEqual([false, false, true]);
  });
});
