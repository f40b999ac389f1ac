import { createServer } from 'node:net';

/** Below the range (from 32768 on Linux) out of which the system takes ports for connections and for `listen(0)`. */
const FIRST = 12_000;
const LAST = 32_000;

const bindable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** A port on 127.0.0.1 that nobody listens on and that the system gives to nobody who asks for any port. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (await bindable(port)) return port;
  }
};
