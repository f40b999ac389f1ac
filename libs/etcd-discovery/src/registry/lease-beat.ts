import type { ConnectivityGate } from '../etcd/etcd-client.js';
import { sleep } from '../utils/abort.js';
import type { Clock, Random } from '../utils/clock.js';

/**
 * Waits for the next renewal: TTL/3 ±10 %, so that processes started together drift apart, or less when etcd comes
 * back in between, because nobody knows what has become of the lease meanwhile.
 */
export async function untilNextBeat(
  deps: { gate: ConnectivityGate; clock: Clock; random: Random },
  ttlSeconds: number,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  const early = new AbortController();
  const wake = () => early.abort();
  const unsubscribe = deps.gate.onChange((gate) => gate.open && wake());
  signal.addEventListener('abort', wake, { once: true });
  await sleep(deps.clock, ((ttlSeconds * 1_000) / 3) * (0.9 + 0.2 * deps.random()), early.signal);
  signal.removeEventListener('abort', wake);
  unsubscribe();
}
