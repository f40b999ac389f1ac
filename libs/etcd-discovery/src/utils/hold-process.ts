/**
 * Keeps the process alive while somebody waits for `promise`. Timers and sockets of this library do not (waiting for
 * etcd must not hold up an exit), so a program that only awaits an answer would otherwise end without it.
 */
export const holdProcess = <T>(promise: Promise<T>): Promise<T> => {
  const timer = setInterval(() => undefined, 60_000);
  return promise.finally(() => clearInterval(timer));
};
